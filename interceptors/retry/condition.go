package retry

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/delay"
	"github.com/axlehttp/axle/internal/rewind"
)

// DefaultCondition reports whether an outcome is one to retry: the failure may pass, and the request
// may be sent twice. It is what an Interceptor does without [WithCondition], and a part to build
// other conditions from.
//
// A failure that may pass is a network error, an attempt that reached its own time limit, or one of
// the statuses 408, 425, 429 and 5xx except 501, if the client refuses that status. A certificate
// that cannot be verified, another fault of TLS, and a host that does not exist do not pass, and neither
// does the error of a reader that is the request's body. An error that a handler made, such as that of
// an open circuit breaker, is not retried.
//
// A request may be sent twice if its method is idempotent (RFC 9110 §9.2.2), or if it has an
// idempotency key: that of [WithIdempotencyKey], or one that the caller has set as Idempotency-Key
// or X-Idempotency-Key.
func DefaultCondition(_ *axle.Response, err *axle.Error) bool {
	if err == nil || err.Request.Attempt() == 0 {
		return false
	}

	// The error may be that of another call, which a handler has sent. A retry sends this call again.
	return mayPass(err) && isRepeatable(err.Request.Own())
}

// mayPass reports whether a failure may be gone in the next attempt.
func mayPass(err *axle.Error) bool {
	switch err.Code {
	case axle.CodeNetwork:
		return !isPermanent(err) && !rewind.IsReadError(err)
	case axle.CodeTimeout:
		return !rewind.IsReadError(err)
	case axle.CodeBadRequest, axle.CodeBadResponse:
		return delay.MayPass(err.StatusCode())

	// The body of a refused status may be over the limit. The status says the same without it.
	case axle.CodeTooLarge:
		isRefused := errors.Is(err, axle.CodeBadRequest) || errors.Is(err, axle.CodeBadResponse)
		return isRefused && delay.MayPass(err.StatusCode())
	}
	return false
}

// isPermanent reports whether a network error comes back in every attempt: the server's certificate
// or protocol is wrong, or its name does not exist.
func isPermanent(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}

	name, ok := errors.AsType[*net.DNSError](err)
	return ok && name.IsNotFound && !name.IsTemporary
}

// isRepeatable reports whether a request may take effect twice without harm.
func isRepeatable(r *axle.Request) bool {
	return isIdempotent(r.Method) || hasIdempotencyKey(r)
}

// isIdempotent reports whether a method is idempotent (RFC 9110 §9.2.2). An empty one is GET.
func isIdempotent(method string) bool {
	switch strings.ToUpper(method) {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace,
		http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
