module github.com/axlehttp/axle/test/encodings

go 1.26.0

require (
	github.com/andybalholm/brotli v1.3.0
	github.com/axlehttp/axle v0.0.0
	github.com/go-resty/resty/v2 v2.17.2
	github.com/klauspost/compress v1.20.4
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.43.0 // indirect
)

replace github.com/axlehttp/axle => ../..
