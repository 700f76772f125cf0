// Package oidc tests axle's session against an OpenID Provider that others wrote. It is a module of its own so that axle's
// users do not inherit the provider's dependencies.
package oidc
