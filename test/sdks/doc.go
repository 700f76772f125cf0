// Package sdks tests that clients which others wrote, unchanged, gain axle's chains by the one line that gives them
// axle's [net/http.Client]: a generated OpenAPI client, go-github, Connect and gRPC, the SDK of the Model Context Protocol,
// and x/oauth2. It is a module of its own so that axle's users do not inherit their dependencies.
//
// ogen is not among them: what it generates takes any Do(*http.Request), which the same http.Client has, so it would prove
// nothing that oapi-codegen's does not; but its runtime alone adds 22 modules, among them a logger and two parsers of YAML.
package sdks

//go:generate go tool oapi-codegen -config petstore/oapi-codegen.yaml petstore/openapi.yaml
