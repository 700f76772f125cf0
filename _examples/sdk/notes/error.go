package notes

import (
	"fmt"

	"github.com/axlehttp/axle"
)

// Error is the API's own error. errors.AsType[*notes.Error] finds it. It wraps the *axle.Error, which
// holds the request and the response.
type Error struct {
	Code    string `json:"code"` // "not_found", "rate_limited", …
	Message string `json:"message"`
	Status  int    `json:"-"`
	cause   error
}

func (e *Error) Error() string { return fmt.Sprintf("notes: %s (%s, %d)", e.Message, e.Code, e.Status) }

// Unwrap returns the *axle.Error.
func (e *Error) Unwrap() error { return e.cause }

// mapError makes an Error of a failed call whose response has {"error": …}. Any other failure, such as
// that of the network, stays an *axle.Error.
func mapError(failed *axle.Error) error {
	body, ok := axle.ErrorBody[struct {
		Error *Error `json:"error"`
	}](failed)
	if !ok || body.Error == nil {
		return nil
	}
	body.Error.Status, body.Error.cause = failed.StatusCode(), failed
	return body.Error
}
