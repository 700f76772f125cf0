module github.com/axlehttp/axle

go 1.26.0

require (
	github.com/cenkalti/backoff/v5 v5.0.3 // the waits of interceptors/retry
	github.com/go-resty/resty/v2 v2.17.2 // the engine
	github.com/gofrs/flock v0.13.0 // the lock that processes share
	github.com/sony/gobreaker/v2 v2.4.0 // interceptors/breaker: the states of a circuit
	github.com/stretchr/testify v1.12.1 // tests
	go.uber.org/goleak v1.3.0 // tests: a goroutine left behind fails the suite
	golang.org/x/net v0.43.0 // the cookie jar's list of public suffixes
	golang.org/x/oauth2 v0.37.0 // the token type, and the refresh grant
	golang.org/x/time v0.16.0 // interceptors/limit: the token bucket
	pgregory.net/rapid v1.3.0 // tests: random chains against a model, with shrinking
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.37.0 // indirect
)
