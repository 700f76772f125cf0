package notes

import (
	"context"
	"io"
	"iter"
	"net/http"
	"strconv"

	"github.com/axlehttp/axle"
)

// Note is a note.
type Note struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Get returns a note.
func (c *Client) Get(ctx context.Context, id string, opts ...CallOption) (Note, error) {
	return axle.Do[Note](c.axle, c.one(ctx, "notes.get", "/notes/{id}", id, opts))
}

// Create creates a note.
func (c *Client) Create(ctx context.Context, text string, opts ...CallOption) (Note, error) {
	return axle.Post[Note](ctx, c.axle, "/notes", Note{Text: text}, named("notes.create", opts)...)
}

// Attachment returns the attachment of a note as it arrives. The caller closes it.
func (c *Client) Attachment(ctx context.Context, id string, opts ...CallOption) (io.ReadCloser, error) {
	resp, err := c.axle.Do(c.one(ctx, "notes.attachment", "/notes/{id}/attachment", id, opts).SetStream(true))
	if err != nil {
		return nil, err
	}
	return resp.Stream(), nil
}

// All returns all notes. It fetches a page when the caller reaches it, and ends with the first error.
func (c *Client) All(ctx context.Context, pageSize int, opts ...CallOption) iter.Seq2[Note, error] {
	type page struct {
		Items []Note `json:"items"`
		Next  string `json:"next"` // the cursor of the next page; empty on the last page
	}

	opts = append(named("notes.list", opts), axle.WithQuery("limit", strconv.Itoa(pageSize)))
	next := axle.NextCursor("cursor", func(p page) string { return p.Next })
	pages := axle.Pages(ctx, c.axle, "/notes", next, opts...)
	return axle.Items(pages, func(p page) []Note { return p.Items })
}

// one returns a request about one note.
func (c *Client) one(ctx context.Context, operation, url, id string, opts []CallOption) *axle.Request {
	return c.axle.R(ctx).SetMethod(http.MethodGet).SetURL(url).SetPathParam("id", id).
		With(named(operation, opts)...)
}

// named puts the name of the operation before the options of the caller. Logs and spans show it.
func named(operation string, opts []CallOption) []CallOption {
	return append([]CallOption{axle.Operation(operation)}, opts...)
}
