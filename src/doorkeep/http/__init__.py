"""HTTP: the names of the standard library's `http.server`, and what stands behind them."""
