// Package bridge tests the bridge: the [net/http.Client] and the [net/http.RoundTripper] that put a client's chains
// below programs that know nothing of axle. contract_test.go runs the uses of scenarios_test.go and corners_test.go over
// the plain transport and over the bridge, and compares the two. The other files are about what handlers add.
package bridge
