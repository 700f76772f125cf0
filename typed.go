package axle

import (
	"context"
	"errors"
	"net/http"
)

// Get sends a GET and decodes the response into a T. An empty body gives the zero value. The error
// is an [*Error].
func Get[T any](ctx context.Context, c *Client, url string, edits ...func(*Request)) (T, error) {
	return typed[T](c, c.newRequest(ctx, http.MethodGet, url, nil, edits))
}

// Delete sends a DELETE and decodes the response into a T.
func Delete[T any](ctx context.Context, c *Client, url string, edits ...func(*Request)) (T, error) {
	return typed[T](c, c.newRequest(ctx, http.MethodDelete, url, nil, edits))
}

// Post sends a POST with a body, see [Request.SetBody], and decodes the response into a T.
func Post[T any](
	ctx context.Context, c *Client, url string, body any, edits ...func(*Request),
) (T, error) {
	return typed[T](c, c.newRequest(ctx, http.MethodPost, url, body, edits))
}

// Put sends a PUT with a body and decodes the response into a T.
func Put[T any](
	ctx context.Context, c *Client, url string, body any, edits ...func(*Request),
) (T, error) {
	return typed[T](c, c.newRequest(ctx, http.MethodPut, url, body, edits))
}

// Patch sends a PATCH with a body and decodes the response into a T.
func Patch[T any](
	ctx context.Context, c *Client, url string, body any, edits ...func(*Request),
) (T, error) {
	return typed[T](c, c.newRequest(ctx, http.MethodPatch, url, body, edits))
}

// Do sends req and decodes the response into a T, instead of into the request's own result target.
// It returns the zero value with every error.
func Do[T any](c *Client, req *Request) (T, error) {
	if req != nil {
		r := *req
		req = &r
	}
	return typed[T](c, req)
}

// typed sends a request that belongs to the caller alone, and so may get another result target.
func typed[T any](c *Client, req *Request) (T, error) {
	var result, zero T
	if req != nil {
		req.SetResult(&result)
	}
	if _, err := c.Do(req); err != nil {
		return zero, err
	}
	return result, nil
}

// ErrorBody returns the body of the response that a failed call has, decoded into a T by its
// Content-Type (axios's error.response.data):
//
//	if problem, ok := axle.ErrorBody[Problem](err); ok {
//		log.Println(problem.Detail)
//	}
//
// It is false if err is of no call, if no response arrived, if the body is empty, or if the body
// does not decode as [Response.Decode] does it. It is safe for concurrent use.
func ErrorBody[T any](err error) (T, bool) {
	var body, zero T
	var e *Error
	if !errors.As(err, &e) || e == nil || e.Response == nil || len(e.Response.Bytes()) == 0 {
		return zero, false
	}
	if e.Response.Decode(&body) != nil {
		return zero, false
	}
	return body, true
}
