package redact

import "net/textproto"

// harmlessHeaders has the standard and the widely used headers that hold no credential. The name of
// a header may not tell that it holds a secret, so the values of all other headers are hidden
// unless a user allows them.
var harmlessHeaders = canonicalSet(
	// RFC 9110, 9111 and 9112.
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Age",
	"Allow", "Cache-Control", "Connection", "Content-Encoding", "Content-Language",
	"Content-Length", "Content-Location", "Content-Range", "Content-Type", "Date", "ETag", "Expect",
	"Expires", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
	"If-Unmodified-Since", "Last-Modified", "Location", "Max-Forwards", "Pragma", "Range",
	"Retry-After", "Server", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Vary",
	"Via", "Warning",

	// Other standards, and fetch's.
	"Accept-Patch", "Accept-Post", "Access-Control-Allow-Credentials",
	"Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin",
	"Access-Control-Expose-Headers", "Access-Control-Max-Age", "Alt-Svc", "Content-Disposition",
	"Deprecation", "Idempotency-Key", "Link", "Origin", "Prefer", "Preference-Applied", "RateLimit",
	"RateLimit-Limit", "RateLimit-Policy", "RateLimit-Remaining", "RateLimit-Reset",
	"Server-Timing", "Strict-Transport-Security", "Sunset", "Traceparent", "X-Content-Type-Options",

	// Request numbers and limits.
	"Request-Id", "X-Request-Id", "X-Correlation-Id", "X-Amz-Request-Id", "X-Amzn-Requestid",
	"X-Amzn-Trace-Id", "X-Trace-Id", "X-Ms-Request-Id", "X-Ms-Client-Request-Id",
	"X-Github-Request-Id", "Cf-Ray", "X-Cache", "X-Powered-By", "X-RateLimit-Limit",
	"X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Used", "X-RateLimit-Resource",
	"X-RateLimit-Limit-Requests", "X-RateLimit-Limit-Tokens", "X-RateLimit-Remaining-Requests",
	"X-RateLimit-Remaining-Tokens", "X-RateLimit-Reset-Requests", "X-RateLimit-Reset-Tokens",
)

func canonicalSet(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[textproto.CanonicalMIMEHeaderKey(name)] = true
	}
	return m
}

// HarmlessHeader reports whether a header is known to hold no credential. The value of some, such
// as Location, is a URL that may have a secret in it. See [Value].
func HarmlessHeader(name string) bool { return harmlessHeaders[textproto.CanonicalMIMEHeaderKey(name)] }
