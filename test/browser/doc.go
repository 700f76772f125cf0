// Package browser is the suite for what is a browser's own: cookies, redirects, headers, the cookie
// of XSRF, and sessions in localStorage. Its tests run in Chromium, against the servers of the
// command in the folder chromium, which also says how to run them.
package browser
