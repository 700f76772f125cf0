module github.com/axlehttp/axle/_examples/generated-sdk

go 1.26.0

require (
	github.com/axlehttp/axle v0.0.0
	github.com/axlehttp/axle/test/sdks v0.0.0
	golang.org/x/oauth2 v0.37.0
)

require (
	github.com/apapsch/go-jsonmerge/v2 v2.0.0 // indirect
	github.com/go-resty/resty/v2 v2.17.2 // indirect
	github.com/gofrs/flock v0.13.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/oapi-codegen/runtime v1.8.0 // indirect
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace (
	github.com/axlehttp/axle => ../..
	github.com/axlehttp/axle/test/sdks => ../../test/sdks
)
