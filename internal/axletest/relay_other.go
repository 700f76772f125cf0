//go:build !js

package axletest

// startRelay does nothing outside a browser.
func startRelay() {}

// IsFetched reports whether the requests of the tests go out by the fetch of a browser.
func IsFetched() bool { return false }
