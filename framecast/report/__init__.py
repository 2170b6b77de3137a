"""Results as pictures and tables, and a run or many results as one HTML page."""

from framecast.report.comparison import write_comparison
from framecast.report.explanation import write_explanation
from framecast.report.markdown import write_markdown
from framecast.report.pictures import draw_scores
from framecast.report.run import write_report

__all__ = ["draw_scores", "write_comparison", "write_explanation", "write_markdown", "write_report"]
