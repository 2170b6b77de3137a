"""Results as pictures, and a run as one HTML page."""

from framecast.report.explanation import write_explanation
from framecast.report.pictures import draw_scores
from framecast.report.run import write_report

__all__ = ["draw_scores", "write_explanation", "write_report"]
