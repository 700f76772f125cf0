// Package security tests the rules of safety that cross topics: credentials stay with their origin, in whichever way
// they got into a request and on whichever way it leaves; nothing printed shows a secret; bad input is refused before
// anything is sent; and the advisories of axios, its transports and resty hold no longer.
package security
