package axle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/axlehttp/axle/internal/delay"
)

// This file is jobs that a server works on after it has answered.

// Poll asks for a job until it is done, and returns its last value:
//
//	export, err := axle.Poll(ctx, client, "/exports/7", func(e Export, resp *axle.Response) bool {
//		return e.State != "running"
//	})
//
// done is given the decoded value of each response. If done is nil, a job is done when the status
// is not 202 (Accepted), and the body of a 202 is not decoded. A refused status and any other failure
// end the polling, unless an interceptor recovers. Each poll is a call of its own, through both
// chains, so that a token that has expired meanwhile is refreshed.
//
// The first request is a GET of url with the edits. An edit can make it the POST that starts the
// job. The polls that follow are GETs of the URL that the response names, see [PollURL]: without the
// body, the query parameters and the path parameters of the request before. Where a response names
// no URL, a GET or a HEAD is sent again as it is. Any other method is not sent again, since it would
// start a second job, and Poll returns an error (CodeBadResponse). A sensitive header that the
// caller sets stays on the origin of the first URL.
//
// Between two polls Poll waits as long as the response's Retry-After asks, up to 5 minutes, and
// otherwise by [PollInterval]. The waits end with the context. A wait that would outlast the
// context's deadline is not begun, and the error (CodeTimeout) comes at once.
//
// Polling can go on later, in another process too: from the Request.URL of the [*Error], or from
// the [PollURL] of a response that done was given. Such a URL may hold a secret.
func Poll[T any](
	ctx context.Context, c *Client, url string,
	done func(value T, resp *Response) bool,
	edits ...func(*Request),
) (T, error) {
	var zero T
	job := newJob(c.newRequest(ctx, http.MethodGet, url, nil, edits))
	for {
		// Without a function that looks at it, the body of a 202 may be anything.
		var value T
		var target any
		if done != nil {
			target = &value
		}
		resp, err := c.Do(job.request.SetResult(target))
		if err != nil {
			return zero, err
		}

		switch {
		case done != nil:
			if done(value, resp) {
				return value, nil
			}
		case resp.StatusCode != http.StatusAccepted:
			if err := resp.decode(&value); err != nil {
				return zero, c.mapped(err)
			}
			return value, nil
		}
		if err := job.next(resp); err != nil {
			return zero, c.mapped(err)
		}
	}
}

// PollURL returns the URL that the polling of a job goes on with after this response: its
// Operation-Location header, or the Location of a 201 or 202. If it has neither, PollURL is the URL
// of the response's own request if that was a GET or a HEAD, and else empty. It is a plain text for
// [Poll], which can be kept anywhere.
//
//	resp, err := client.Post(ctx, "/exports", query) // 202 Accepted
//	export, err := axle.Poll[Export](ctx, client, axle.PollURL(resp), nil)
func PollURL(resp *Response) string {
	if link := jobLink(resp); link != "" {
		to, err := resp.resolveLink(link)
		switch {
		case err != nil:
			return ""
		case resp.Request == nil:
			return to.String()
		}
		return resp.Request.withoutBase(to.String())
	}
	if resp.Request != nil && isRepeatable(resp.Request) {
		return resp.Request.URL
	}
	return ""
}

// jobLink returns the URL of the job as the response names it; empty if it names none.
func jobLink(resp *Response) string {
	if link := resp.Header.Get("Operation-Location"); link != "" {
		return link
	}
	if resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusAccepted {
		return resp.Header.Get("Location")
	}
	return ""
}

// isRepeatable reports whether a request only asks, so that it can be sent again.
func isRepeatable(r *Request) bool {
	return r.method() == http.MethodGet || r.method() == http.MethodHead
}

// pollInterval is the first wait between two polls, and the longest one.
type pollInterval struct{ first, most time.Duration }

var pollIntervalKey = NewKey[pollInterval]("axle.PollInterval")

var defaultPollInterval = pollInterval{time.Second, 30 * time.Second}

// PollInterval is an edit for [Poll]: how long to wait between two polls where the response has no
// Retry-After. The first wait is first, and each wait is longer by a half than the one before, up to
// most. The default is one second and 30 seconds. A wait below a millisecond fails the call with
// CodeBadOption, and so does a longest wait that is shorter than the first.
func PollInterval(first, most time.Duration) func(*Request) {
	return func(r *Request) {
		if first < time.Millisecond || most < first {
			r.setBad(fmt.Errorf("PollInterval needs a first wait of a millisecond or more "+
				"and no shorter longest wait, and was given %v and %v", first, most))
			return
		}
		pollIntervalKey.Set(r, pollInterval{first, most})
	}
}

// mostRetryAfter bounds the wait that a server may ask for.
const mostRetryAfter = 5 * time.Minute

// job is the state of the polling of one job.
type job struct {
	request *Request
	wait    time.Duration // before the next poll
	most    time.Duration
}

func newJob(first *Request) *job {
	interval, ok := pollIntervalKey.Get(first)
	if !ok {
		interval = defaultPollInterval
	}
	if first.stream {
		first.setBad(errors.New("Poll reads each body, and SetStream leaves it unread"))
	}
	return &job{first, interval.first, interval.most}
}

var errNoPollURL = errors.New("the response names no URL to poll: it has no Operation-Location header, " +
	"and no Location with the status 201 or 202")

// next waits, and goes on to the poll after resp.
func (j *job) next(resp *Response) *Error {
	edit := func(*Request) {}
	if link := jobLink(resp); link != "" {
		follow := resp.withLink(link)
		edit = func(r *Request) { r.With(withoutBody, follow) }
	} else if !isRepeatable(j.request) {
		edit = func(r *Request) { r.setBad(errNoPollURL) }
	}
	j.request = j.request.followUp(edit)
	if err := resp.badLink(j.request); err != nil {
		return err
	}

	err := pause(j.request, j.waitAfter(resp))
	if err != nil {
		err.Response = resp
	}
	return err
}

// waitAfter returns how long to wait after resp.
func (j *job) waitAfter(resp *Response) time.Duration {
	if asked := delay.Of(resp.Header, time.Now()); asked > 0 {
		return min(asked, mostRetryAfter)
	}
	wait := j.wait
	j.wait = min(wait+wait/2, j.most)
	return wait
}
