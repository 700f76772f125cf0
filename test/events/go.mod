module github.com/axlehttp/axle/test/events

go 1.26.0

require (
	github.com/axlehttp/axle v0.0.0
	github.com/stretchr/testify v1.12.1
	github.com/tmaxmax/go-sse v0.12.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

replace github.com/axlehttp/axle => ../..
