module github.com/axlehttp/axle/bench

go 1.26.0

require (
	github.com/axlehttp/axle v0.0.0
	github.com/go-resty/resty/v2 v2.17.2 // a peer
	github.com/hashicorp/go-retryablehttp v0.7.8 // a peer
	github.com/imroc/req/v3 v3.57.0 // a peer
	github.com/stretchr/testify v1.12.1 // tests
	golang.org/x/oauth2 v0.37.0 // the token type, and a peer
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da // benchstat's statistics
	golang.org/x/sync v0.25.0 // singleflight, as a peer's users have it
	resty.dev/v3 v3.0.0-rc.4 // a peer
)

require (
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // indirect
	github.com/andybalholm/brotli v1.2.0 // indirect
	github.com/gofrs/flock v0.13.0 // indirect
	github.com/google/go-querystring v1.1.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/icholy/digest v1.1.0 // indirect
	github.com/klauspost/compress v1.18.2 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	github.com/quic-go/quic-go v0.57.1 // indirect
	github.com/refraction-networking/utls v1.8.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.57.0 // indirect
	golang.org/x/net v0.59.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
)

replace github.com/axlehttp/axle => ..
