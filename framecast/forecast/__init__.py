"""Forecasting with any model: tensors, clips, streams, and a test on what is already known."""

from framecast.forecast.backtesting import Backtest, backtest
from framecast.forecast.clips import forecast
from framecast.forecast.inference import rollout
from framecast.forecast.streaming import stream

__all__ = ["Backtest", "backtest", "forecast", "rollout", "stream"]
