"""What runs for months: cameras, control, health, and the gallery behind them."""
