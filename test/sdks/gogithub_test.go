package sdks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-github/v89/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

const issuePages = 3

// hub answers as GitHub does, as far as a client can tell. It calls turned when it has answered a page.
func hub(reset time.Time, turned func()) http.Handler {
	fail := func(w http.ResponseWriter, status int, message, docs string) {
		writeJSON(w, status, map[string]string{"message": message, "documentation_url": "https://docs.github.com/rest" + docs})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repos/axlehttp/axle/issues", func(w http.ResponseWriter, r *http.Request) {
		page := max(1, number(r.URL.Query().Get("page")))
		if page < issuePages {
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, page+1))
		}
		turned()
		writeJSON(w, http.StatusOK, []github.Issue{{Number: new(2*page - 1)}, {Number: new(2 * page)}})
	})
	mux.HandleFunc("POST /repos/axlehttp/axle/issues", func(w http.ResponseWriter, r *http.Request) {
		var given github.IssueRequest
		if err := json.NewDecoder(r.Body).Decode(&given); err != nil || given.GetTitle() == "" {
			writeJSON(w, http.StatusUnprocessableEntity, map[string]any{
				"message": "Validation Failed", "errors": []github.Error{{Resource: "Issue", Field: "title", Code: "missing_field"}},
			})
			return
		}
		writeJSON(w, http.StatusCreated, github.Issue{Number: new(7), Title: given.Title, Body: given.Body})
	})
	mux.HandleFunc("GET /repos/axlehttp/axle/issues/{number}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-RateLimit-Limit", "60")
		w.Header().Set("X-RateLimit-Remaining", "59")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
		switch n := number(r.PathValue("number")); n {
		case 403:
			w.Header().Set("X-RateLimit-Remaining", "0")
			fail(w, http.StatusForbidden, "API rate limit exceeded", "")
		case 429:
			w.Header().Set("Retry-After", "60")
			fail(w, http.StatusForbidden, "You have exceeded a secondary rate limit", "#secondary-rate-limits")
		case 404:
			fail(w, http.StatusNotFound, "Not Found", "/issues/issues#get-an-issue")
		case 301:
			http.Redirect(w, r, "/repos/axlehttp/axle/issues/1", http.StatusMovedPermanently)
		default:
			writeJSON(w, http.StatusOK, github.Issue{Number: &n})
		}
	})
	return mux
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func hubClient(t *testing.T, a *api, client *axle.Client) *github.Client {
	t.Helper()
	sdk, err := github.NewClient(github.WithHTTPClient(client.HTTPClient()), // the one line
		github.WithURLs(new(a.URL+"/"), nil))
	require.NoError(t, err)
	return sdk
}

func TestGoGitHub_CallsSurviveExpiries(t *testing.T) {
	t.Parallel()
	t.Run("GET", func(t *testing.T) {
		t.Parallel()
		a := newAPI(t, hub(time.Now(), func() {}))
		client, w := a.client()
		sdk := hubClient(t, a, client)
		tell(t, a, w, func(ctx context.Context, _ string) error {
			issue, _, err := sdk.Issues.Get(ctx, "axlehttp", "axle", 1)
			if err != nil {
				return err
			}
			return same(fmt.Sprint(issue.GetNumber()), "1")
		})
		assert.Equal(t, "GET /repos/axlehttp/axle/issues/1", w.requests()[0], "the SDK's request is an axle.Request")
	})
	t.Run("POST", func(t *testing.T) {
		t.Parallel()
		a := newAPI(t, hub(time.Now(), func() {}))
		client, w := a.client()
		sdk := hubClient(t, a, client)
		tell(t, a, w, func(ctx context.Context, text string) error {
			issue, resp, err := sdk.Issues.Create(ctx, "axlehttp", "axle", &github.IssueRequest{Title: new("title"), Body: &text})
			switch {
			case err != nil:
				return err
			case resp.StatusCode != http.StatusCreated:
				return fmt.Errorf("status %d", resp.StatusCode)
			}
			return same(issue.GetBody(), text)
		})
	})
}

func TestGoGitHub_PagesAcrossExpiries(t *testing.T) {
	t.Parallel()
	var a *api
	a = newAPI(t, hub(time.Now(), func() { a.expire() })) // after each page
	client, w := a.client()
	sdk := hubClient(t, a, client)
	var numbers []int
	for issue, err := range sdk.Issues.ListByRepoIter(t.Context(), "axlehttp", "axle", nil) {
		require.NoError(t, err)
		numbers = append(numbers, issue.GetNumber())
	}
	assert.Equal(t, []int{1, 2, 3, 4, 5, 6}, numbers)
	assert.Equal(t, counts{refreshes: issuePages, refused: issuePages, accepted: issuePages}, a.counts())
	assert.Equal(t, "GET /repos/axlehttp/axle/issues?page=3", w.requests()[2*issuePages-1], "queries reach the handlers")
}

func TestGoGitHub_ItsErrorsAndRatesStayItsOwn(t *testing.T) {
	t.Parallel()
	reset := time.Now().Add(time.Hour).Truncate(time.Second)
	a := newAPI(t, hub(reset, func() {}))
	client, _ := a.client()
	get := func(sdk *github.Client, n int) (*github.Issue, *github.Response, error) {
		return sdk.Issues.Get(t.Context(), "axlehttp", "axle", n)
	}
	sdk := hubClient(t, a, client)

	_, resp, err := get(sdk, 404)
	var refused *github.ErrorResponse
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "Not Found", refused.Message)
	assert.Equal(t, http.StatusNotFound, refused.Response.StatusCode)
	assert.Equal(t, "https://docs.github.com/rest/issues/issues#get-an-issue", refused.DocumentationURL)
	assert.Equal(t, github.Rate{Limit: 60, Remaining: 59, Reset: github.Timestamp{Time: reset}, Resource: ""}, resp.Rate)
	assert.Empty(t, refused.Response.Request.Header.Get("Authorization"), "the SDK's request, and what it prints of it, has no token")

	_, _, err = sdk.Issues.Create(t.Context(), "axlehttp", "axle", &github.IssueRequest{})
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, []github.Error{{Resource: "Issue", Field: "title", Code: "missing_field"}}, refused.Errors)

	issue, _, err := get(sdk, 301)
	require.NoError(t, err, "redirects are followed above the chains")
	assert.Equal(t, 1, issue.GetNumber())

	before := a.counts().accepted
	_, _, err = get(sdk, 403)
	var limited *github.RateLimitError
	require.ErrorAs(t, err, &limited)
	assert.True(t, limited.Rate.Reset.Equal(github.Timestamp{Time: reset}))
	_, _, err = get(sdk, 1)
	require.ErrorAs(t, err, &limited)
	assert.Equal(t, before+1, a.counts().accepted, "the SDK's own guard has kept the second one back")

	_, _, err = get(hubClient(t, a, client), 429)
	var abused *github.AbuseRateLimitError
	require.ErrorAs(t, err, &abused)
	assert.Equal(t, time.Minute, abused.GetRetryAfter())
	assert.Equal(t, 1, a.counts().refreshes)
	assert.Empty(t, a.counts().bypassed)
}
