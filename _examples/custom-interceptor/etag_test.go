package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// statuses is a transport that responds from memory, with one status for each request. It lets a
// test run an interceptor alone, with neither a server nor a mock.
type statuses []int

func (a *statuses) RoundTrip(r *http.Request) (*http.Response, error) {
	status := (*a)[0]
	*a = (*a)[1:]
	return &http.Response{
		StatusCode: status, Header: http.Header{"Etag": {`"v1"`}, "Asked": r.Header["If-None-Match"]},
		Body: io.NopCloser(strings.NewReader("document")), Request: r,
	}, nil
}

func TestETags_A304BecomesTheAnswerThatIsRemembered(t *testing.T) {
	client := axle.New().SetBaseURL("http://api.test").SetTransport(&statuses{200, 304}).Use(new(ETags))
	first, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Empty(t, first.Header.Get("Asked"))
	second, err := client.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, second.StatusCode)
	assert.Equal(t, "document", second.String())
}

func TestETags_A304ForSomethingUnknownStaysAnError(t *testing.T) {
	client := axle.New().SetBaseURL("http://api.test").SetTransport(&statuses{304}).Use(new(ETags))
	_, err := client.Get(t.Context(), "/")
	require.ErrorIs(t, err, axle.CodeBadResponse)
}

func TestETags_UninstallTakesItOut(t *testing.T) {
	client := axle.New()
	uninstall := new(ETags).Install(client)
	uninstall()
	assert.Zero(t, client.Interceptors.Request.Len()+client.Interceptors.Response.Len())
}
