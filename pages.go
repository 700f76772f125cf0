package axle

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"

	"github.com/axlehttp/axle/internal/redact"
	"github.com/axlehttp/axle/internal/weblink"
)

// This file is lists that come page by page.

// Pages iterates over the pages of a list, and decodes each response into a T:
//
//	for page, err := range axle.Pages[[]User](ctx, client, "/users", axle.NextLink) {
//
// The first request is a GET of url with the edits. next is given each page with its response, and
// returns an edit that makes the request for the page after it out of the request for this one. A
// nil edit ends the list. [NextLink], [NextURL], [NextCursor] and [NextOffset] make such functions.
//
// Each page is a call of its own, through both chains, so that a token that has expired meanwhile
// is refreshed. A page is requested when the loop asks for it, and nothing stays open when the loop
// breaks. An error ends the iteration, and comes with the zero T. If the loop is run again, it
// starts at the first page. For the items of all pages, see [Items].
//
// A sensitive header that the caller sets stays on the origin of the first URL, wherever the next
// page is. A next page that was requested before, with the same method, URL, header and body, ends
// the iteration with an error (CodeBadResponse), since the list would have no end. Requests whose
// body is an io.Reader or a [*Multipart] are not compared. A link that is malformed is an error too.
// A nil next, and one that is made of a nil function, fail the first call with CodeBadOption.
func Pages[T any](
	ctx context.Context, c *Client, url string,
	next func(page T, resp *Response) func(*Request),
	edits ...func(*Request),
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		first := c.newRequest(ctx, http.MethodGet, url, nil, edits)
		if next == nil {
			first.setBad(errors.New("Pages needs a function that finds the next page, and was given nil"))
		}
		list := newPageList(first)
		for {
			var page T
			resp, err := c.Do(list.request.SetResult(&page))
			if err != nil {
				yield(zero, err)
				return
			}

			// The loop may change the page, so next sees it first.
			edit := next(page, resp)
			if !yield(page, nil) || edit == nil {
				return
			}
			if err := list.advance(resp, edit); err != nil {
				yield(zero, c.mapped(err))
				return
			}
		}
	}
}

// Items iterates over the items of pages, one after the other. The function returns the items of a
// page. An error of the pages comes with the zero E, and ends the iteration.
//
//	users := axle.Items(pages, func(p UserPage) []User { return p.Users })
func Items[T, E any](pages iter.Seq2[T, error], items func(page T) []E) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		for page, err := range pages {
			if err != nil {
				var zero E
				yield(zero, err)
				return
			}
			for _, item := range items(page) {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// NextLink is for [Pages]: the next page is the link with the relation "next" in the response's Link
// header (RFC 8288), as GitHub's. The list ends where there is no such link.
func NextLink[T any](_ T, resp *Response) func(*Request) {
	link, found, err := weblink.Find(resp.Header["Link"], "next")
	switch {
	case err != nil:
		return func(r *Request) { r.setBad(err) }
	case found:
		return resp.withLink(link)
	}
	return nil
}

// NextURL is for [Pages]: the next page has the URL that the function returns, usually a member of
// the page. The URL is absolute, or relative to the URL of this page. An empty one ends the list.
// It takes the place of the whole URL, with query and path parameters.
func NextURL[T any](link func(page T) string) func(page T, resp *Response) func(*Request) {
	if link == nil {
		return nil
	}
	return func(page T, resp *Response) func(*Request) {
		if to := link(page); to != "" {
			return resp.withLink(to)
		}
		return nil
	}
}

// NextCursor is for [Pages]: the next page has the query parameter param with the value that the
// function returns, usually a member of the page. An empty one ends the list.
func NextCursor[T any](param string, cursor func(page T) string) func(page T, resp *Response) func(*Request) {
	if cursor == nil {
		return nil
	}
	return func(page T, _ *Response) func(*Request) {
		if value := cursor(page); value != "" {
			return func(r *Request) { r.replaceQueryParam(param, value) }
		}
		return nil
	}
}

// NextOffset is for [Pages]: the query parameter param grows by the number that the function
// returns, usually the number of items in the page. Zero or less ends the list. A request without
// the parameter counts as zero.
//
// Where pages are numbered, each step is one, and the function ends the list with the first page
// that has no items. If the first page has the number 1, the first request says so:
//
//	axle.Pages(ctx, client, "/users", axle.NextOffset("page", step), axle.WithQuery("page", "1"))
func NextOffset[T any](param string, step func(page T) int) func(page T, resp *Response) func(*Request) {
	if step == nil {
		return nil
	}

	return func(page T, _ *Response) func(*Request) {
		size := step(page)
		if size <= 0 {
			return nil
		}

		return func(r *Request) {
			now := 0
			if value := r.queryParam(param); value != "" {
				var err error
				if now, err = strconv.Atoi(value); err != nil {
					r.setBad(fmt.Errorf("the query parameter %s is not a number, "+
						"and NextOffset adds to it", param))
					return
				}
			}

			r.replaceQueryParam(param, strconv.Itoa(now+size))
		}
	}
}

// pageList is the state of an iteration over pages: the request for the present page, and the pages
// that were requested.
type pageList struct {
	request   *Request
	requested map[uint64]struct{}
}

func newPageList(first *Request) *pageList {
	l := &pageList{request: first, requested: map[uint64]struct{}{}}
	l.note()
	return l
}

// note remembers the present request, and reports whether it is a new one.
func (l *pageList) note() bool {
	sum, known := l.request.identity()
	if !known {
		return true
	}
	_, found := l.requested[sum]
	l.requested[sum] = struct{}{}
	return !found
}

// advance goes on to the request for the page after resp.
func (l *pageList) advance(resp *Response, edit func(*Request)) *Error {
	l.request = l.request.followUp(edit)
	if err := resp.badLink(l.request); err != nil {
		return err
	}
	if l.note() {
		return nil
	}

	message := "the next page was requested before, and the list would have no end"
	if u, err := l.request.ResolveURL(); err == nil {
		message += ": " + redact.URL(u)
	}
	return &Error{Code: CodeBadResponse, Message: message, Request: resp.Request, Response: resp}
}
