package notes

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"

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

// envelope unwraps {"data": …} and turns {"error": …} into an Error, whatever the status. A stream,
// such as an attachment, has no envelope and is passed on unread.
var envelope = axle.OnResponse("notes: envelope",
	func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		if resp.IsStream() {
			return resp, nil
		}

		data, apiErr := open(resp)
		if apiErr != nil {
			apiErr.cause = &axle.Error{Code: axle.CodeBadResponse, Request: resp.Request, Response: resp}
			return nil, apiErr
		}
		return resp.SetBytes(data), nil
	},
	func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		if err.Response == nil || err.Response.IsStream() {
			return nil, err
		}

		if _, apiErr := open(err.Response); apiErr != nil {
			apiErr.cause = err
			return nil, apiErr
		}
		return nil, err
	})

// open returns the data of a response's envelope, or the API's error.
func open(resp *axle.Response) (data []byte, apiErr *Error) {
	var body struct {
		Data  json.RawMessage `json:"data"`
		Error *Error          `json:"error"`
	}

	// A response without an envelope is not from the API. A proxy may have sent it.
	if json.Unmarshal(resp.Bytes(), &body) != nil {
		return resp.Bytes(), nil
	}

	if body.Error != nil {
		body.Error.Status = resp.StatusCode
	}
	return body.Data, body.Error
}

// key holds the idempotency key of a call. The key must be the same in every attempt.
var key = axle.NewKey[string]("notes: idempotency key")

// idempotency gives each call that writes an idempotency key of its own.
var idempotency = axle.OnRequest("notes: idempotency",
	func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		if r.Header.Get("Idempotency-Key") == "" {
			k, ok := key.Get(r)
			if !ok {
				k = rand.Text()
				key.Set(r, k)
			}
			r.Header.Set("Idempotency-Key", k)
		}
		return r, nil
	}, nil, axle.RunWhen(writes))

func writes(r *axle.Request) bool { return r.Method == http.MethodPost }
