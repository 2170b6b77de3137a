"""Pictures of scores, and what the report says under them.

Shapes: M past frames, N future frames, C channels, H height, W width.
"""

from pathlib import Path

from framecast import plot
from framecast.evaluate import Scores

CAPTIONS = {
    "errors": "Truth, forecast and absolute error, by lead time",
    "mse": "Mean squared error by lead time, with 95 % intervals",
    "skill": "Skill over the last frame repeated by lead time, with 95 % intervals",
    "strip": "The last given frames, then truth over forecast",
}


def draw_scores(scores: Scores, folder: str | Path) -> list[Path]:
    """Draw MSE and skill against lead time, and the first sequence: frames, errors, animation.

    Raises:
        InputError: the folder cannot be written.
    """
    folder, (past_MCHW, truth_NCHW, forecast_NCHW) = Path(folder), scores.example
    return [
        plot.lead_curves(scores.curves("mse"), folder / "mse.png"),
        plot.lead_curves(
            scores.curves("skill"), folder / "skill.png", score="skill", better="higher"
        ),
        plot.strip(past_MCHW, truth_NCHW, forecast_NCHW, folder / "strip.png"),
        plot.error_maps(truth_NCHW, forecast_NCHW, folder / "errors.png"),
        plot.side_by_side_gif(past_MCHW, truth_NCHW, forecast_NCHW, folder / "forecast.gif"),
    ]
