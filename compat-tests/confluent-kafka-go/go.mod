module tidewater/compat-tests/confluent-kafka-go

go 1.26.0

require (
	github.com/confluentinc/confluent-kafka-go/v2 v2.11.1
	tidewater/compat-tests/steps v0.0.0
)

replace tidewater/compat-tests/steps => ../lib/go
