// Package page drives the page of _examples/browser in Chromium, as a person would. It is a module of
// its own so that axle's users do not inherit its dependencies.
//
//	go test .                              # needs the program chromium, or CHROMIUM that names one
//	go test . -args -screenshots FOLDER    # also keeps pictures of the page
package page
