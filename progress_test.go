package axle_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

func TestProgress_OfAnUploadAndADownload(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Length", "300000")
		_, _ = w.Write(bytes.Repeat([]byte("x"), 3*len(body)))
	})
	var up, down []axle.Progress
	_, err := c.R(t.Context()).SetBody(strings.Repeat("x", 100_000)).
		OnUploadProgress(func(p axle.Progress) { up = append(up, p) }).
		OnDownloadProgress(func(p axle.Progress) { down = append(down, p) }).Post("/")
	require.NoError(t, err)
	for name, told := range map[string][]axle.Progress{"up": up, "down": down} {
		require.NotEmpty(t, told, name)
		last := told[len(told)-1]
		want := map[string]int64{"up": 100_000, "down": 300_000}[name]
		assert.Equal(t, want, last.Bytes, name)
		assert.Equal(t, want, last.Total, name)
		assert.GreaterOrEqual(t, last.Rate(), 0.0, name)
	}
}

func TestProgress_IsToldTenTimesASecondAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
			slow := &slowReader{left: 100, each: 10 * time.Millisecond} // a second in all
			resp := replyWith(r, 200, io.NopCloser(slow))
			resp.ContentLength = 100
			return resp, nil
		})
		var told []axle.Progress
		_, err := c.R(t.Context()).OnDownloadProgress(func(p axle.Progress) { told = append(told, p) }).Get("/")
		require.NoError(t, err)
		require.Len(t, told, 10)
		assert.Equal(t, axle.Progress{Bytes: 10, Total: 100, Time: 100 * time.Millisecond}, told[0])
		assert.Equal(t, axle.Progress{Bytes: 100, Total: 100, Time: time.Second}, told[9])
		assert.InDelta(t, 100, told[9].Rate(), 0.001)
	})
}

// slowReader yields a byte at a time.
type slowReader struct {
	left int
	each time.Duration
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	time.Sleep(s.each)
	p[0] = 'x'
	return 1, nil
}

func TestProgress_OfACompressedAnswerHasNoTotal(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = zip.Write(bytes.Repeat([]byte("x"), 10_000))
		_ = zip.Close()
	})
	var last axle.Progress
	_, err := c.R(t.Context()).OnDownloadProgress(func(p axle.Progress) { last = p }).Get("/")
	require.NoError(t, err)
	assert.EqualValues(t, 10_000, last.Bytes)
	assert.EqualValues(t, -1, last.Total)
}

func TestProgress_ARateBeforeThereIsOneIsZero(t *testing.T) {
	assert.Zero(t, axle.Progress{Bytes: 5}.Rate())
}
