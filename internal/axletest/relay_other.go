//go:build !js

package axletest

// startRelay does nothing outside a browser.
func startRelay() {}
