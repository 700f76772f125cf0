package cookies

// suffixes takes every domain for a public suffix, so that each cookie is for the host alone that has set
// it. In a browser a jar is asked only if the client has a transport of its own, since fetch has the
// cookies of the browser. The list of the public suffixes would be 50 kB of each page's download.
var suffixes everyDomain

// everyDomain implements cookiejar.PublicSuffixList.
type everyDomain struct{}

func (everyDomain) PublicSuffix(domain string) string { return domain }

func (everyDomain) String() string { return "every domain" }
