//go:build !js

package cookies

import "golang.org/x/net/publicsuffix"

// suffixes are the domains below which anybody can register one, such as co.uk. No cookie is for all of
// such a domain.
var suffixes = publicsuffix.List
