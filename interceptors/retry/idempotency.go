package retry

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/internal/sessionwork"
)

// idempotencyKey is the key of a call. It is the same in all attempts.
type idempotencyKey struct {
	header string
	value  string
}

var idempotencyKeys = axle.NewKey[idempotencyKey]("retry.IdempotencyKey")

// setIdempotencyKey sets the idempotency key of a request that needs one.
func (i *Interceptor) setIdempotencyKey(ctx context.Context, r *axle.Request) {
	if i.keyHeader == "" || isIdempotent(r.Method) {
		return
	}

	// A request with such a key is sent again by net/http itself, which a refresh must not be.
	if sessionwork.Is(ctx) {
		return
	}

	// A replay starts from the caller's request, without the header, and keeps the value of the Key.
	key, _ := idempotencyKeys.Get(r)
	if key.header != i.keyHeader {
		key = idempotencyKey{i.keyHeader, cmp.Or(r.Header.Get(i.keyHeader), newUUID())}
		idempotencyKeys.Set(r, key)
	}
	if r.Header.Get(key.header) == "" {
		r.SetHeader(key.header, key.value)
	}
}

// hasIdempotencyKey reports whether the server can recognize a request that it gets twice. net/http
// knows the same two names.
func hasIdempotencyKey(r *axle.Request) bool {
	if r.Header.Get("Idempotency-Key") != "" || r.Header.Get("X-Idempotency-Key") != "" {
		return true
	}
	key, _ := idempotencyKeys.Get(r)
	return r.Header.Get(key.header) != ""
}

// newUUID returns a random UUID (RFC 9562 §5.4). Every service takes that form of a key, and some
// take no other.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
