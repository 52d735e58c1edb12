module tidewater/compat-tests/steps

go 1.26.0
