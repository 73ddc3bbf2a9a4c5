"""mlship: from an MLflow registry to live traffic, and back, by one promotion policy."""
