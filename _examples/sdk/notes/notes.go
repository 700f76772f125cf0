package notes

import (
	"context"
	"iter"
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
	return axle.Do[Note](c.axle, c.axle.R(ctx).SetURL("/notes/{id}").SetPathParam("id", id).With(opts...))
}

// Create creates a note.
func (c *Client) Create(ctx context.Context, text string, opts ...CallOption) (Note, error) {
	return axle.Post[Note](ctx, c.axle, "/notes", Note{Text: text}, opts...)
}

// page is one page of a list.
type page struct {
	Items []Note `json:"items"`
	Next  string `json:"next"` // the cursor of the next page; empty on the last page
}

// All returns all notes. It fetches a page when the caller reaches it, and ends with the first error.
func (c *Client) All(ctx context.Context, pageSize int, opts ...CallOption) iter.Seq2[Note, error] {
	return func(yield func(Note, error) bool) {
		for cursor := ""; ; {
			p, err := axle.Get[page](ctx, c.axle, "/notes", append([]CallOption{func(r *axle.Request) {
				r.SetQueryParam("limit", strconv.Itoa(pageSize))
				if cursor != "" {
					r.SetQueryParam("cursor", cursor)
				}
			}}, opts...)...)
			if err != nil {
				yield(Note{}, err)
				return
			}

			for _, note := range p.Items {
				if !yield(note, nil) {
					return
				}
			}

			if cursor = p.Next; cursor == "" {
				return
			}
		}
	}
}
