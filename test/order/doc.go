// Package order has a test for each sentence of docs/order.md: which interceptor is installed where,
// and why. Each test installs interceptors in the recommended order and, where another order works
// otherwise, in that order too.
package order
