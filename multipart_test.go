package axle_test

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// receivedPart is a part as net/http reads it.
type receivedPart struct{ name, filename, contentType, body string }

func readParts(t *testing.T, r *http.Request) (parts []receivedPart) {
	t.Helper()
	reader, err := r.MultipartReader()
	if !assert.NoError(t, err) {
		return nil
	}
	for {
		p, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if !assert.NoError(t, err) {
			return nil
		}
		body, err := io.ReadAll(p)
		assert.NoError(t, err)
		parts = append(parts, receivedPart{p.FormName(), p.FileName(), p.Header.Get("Content-Type"), string(body)})
	}
}

func TestMultipart_FieldsFilesAndTypes(t *testing.T) {
	var got []receivedPart
	var length int64
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { length = r.ContentLength; got = readParts(t, r) })
	form := axle.NewMultipart().
		Field("note", "a note, ü").
		Fields(struct {
			Tags []string `json:"tags"`
			N    int      `json:"n"`
		}{[]string{"x", "y"}, 7}).
		File("picture", `my "pic".png`, strings.NewReader("png")).
		File("raw", "raw.unknown-type", bytes.NewReader([]byte{0, 1, 2})).
		FileOf("application/json", "meta", "", strings.NewReader(`{"a":1}`))
	_, err := c.Post(t.Context(), "/", form)
	require.NoError(t, err)
	assert.Equal(t, []receivedPart{
		{"note", "", "", "a note, ü"}, {"n", "", "", "7"}, {"tags", "", "", "x"}, {"tags", "", "", "y"},
		{"picture", "my %22pic%22.png", "image/png", "png"}, {"raw", "raw.unknown-type", "application/octet-stream", "\x00\x01\x02"},
		{"meta", "", "application/json", `{"a":1}`},
	}, got)
	assert.Positive(t, length, "known, for all its parts have a length")
}

func TestMultipart_AnEmptyOneIsAForm(t *testing.T) {
	var got []receivedPart
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
		reader := multipart.NewReader(r.Body, strings.TrimPrefix(r.Header.Get("Content-Type"), "multipart/form-data; boundary="))
		_, err := reader.NextPart()
		assert.ErrorIs(t, err, io.EOF)
	})
	_, err := c.Post(t.Context(), "/", axle.NewMultipart())
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestMultipart_IsStreamed(t *testing.T) {
	first := make(chan string, 1)
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) {
		assert.EqualValues(t, -1, r.ContentLength)
		buf := make([]byte, 5)
		reader, err := r.MultipartReader()
		assert.NoError(t, err)
		p, err := reader.NextPart()
		assert.NoError(t, err)
		_, err = io.ReadFull(p, buf)
		assert.NoError(t, err)
		first <- string(buf)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	content, writer := io.Pipe()
	go func() {
		_, _ = writer.Write([]byte(strings.Repeat("hello", 2000))) // more than anyone's buffer, and no end
		assert.Equal(t, "hello", <-first)                          // the server has it while the file is still being made
		_ = writer.Close()
	}()
	_, err := c.Post(t.Context(), "/", axle.NewMultipart().File("f", "f.txt", content))
	require.NoError(t, err)
}

func TestMultipart_AReplaySendsTheSameBytesOrIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		content io.Reader
		ok      bool
	}{
		"a seeker":          {strings.NewReader("content"), true},
		"a small stream":    {io.MultiReader(strings.NewReader("content")), true},
		"a stream too long": {io.MultiReader(strings.NewReader(strings.Repeat("x", axle.ReplayLimit+1))), false},
	} {
		t.Run(name, func(t *testing.T) {
			var bodies []string
			client := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if bodies = append(bodies, string(body)); len(bodies) == 1 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			useRejected(client, func(err *axle.Error) (*axle.Response, error) { return err.Request.Replay() })
			_, err := client.Post(t.Context(), "/", axle.NewMultipart().Field("a", "1").File("f", "f.txt", c.content))
			if !c.ok {
				require.ErrorIs(t, err, axle.ErrBodyConsumed)
				assert.Len(t, bodies, 1, "refused before anything is sent")
				return
			}
			require.NoError(t, err)
			require.Len(t, bodies, 2)
			assert.Equal(t, bodies[0], bodies[1])
		})
	}
}

func TestMultipart_ClosesItsReadersWhenTheCallIsDone(t *testing.T) {
	body := newWatchedBody("content")
	c := newLoopback(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	_, err := c.Post(t.Context(), "/", axle.NewMultipart().File("f", "f.txt", body))
	require.NoError(t, err)
	assert.True(t, body.IsClosed())
}

func TestAdvisory_ControlCharactersInMultipartNamesAreRefused(t *testing.T) {
	for name, form := range map[string]*axle.Multipart{
		"CR in a name":       axle.NewMultipart().Field("a\rb", "x"),
		"LF in a name":       axle.NewMultipart().Field("a\nb", "x"),
		"NUL in a name":      axle.NewMultipart().Field("a\x00b", "x"),
		"CRLF in a filename": axle.NewMultipart().File("f", "a\r\nX-Evil: 1", strings.NewReader("")),
		"LF in a type":       axle.NewMultipart().FileOf("text/plain\nX-Evil: 1", "f", "f", strings.NewReader("")),
		"a nil reader":       axle.NewMultipart().File("f", "f", nil),
		"fields of a scalar": axle.NewMultipart().Fields(7),
	} {
		c, transport := newFakeClient(always(200, ""))
		_, err := c.Post(t.Context(), "/", form)
		require.ErrorIs(t, err, axle.CodeBadOption, name)
		assert.Zero(t, transport.Sent.Load(), name)
	}
}

func TestMultipart_EncodedBodyRefusesIt(t *testing.T) {
	_, _, err := axle.New().R(t.Context()).SetBody(axle.NewMultipart()).EncodedBody()
	require.ErrorIs(t, err, axle.CodeBadOption)
}

func TestMultipart_OneThatNewMultipartDidNotMakeIsRefusedAndNothingIsSent(t *testing.T) {
	c, network := newFakeClient(always(200, ""))
	_, err := c.Post(t.Context(), "/", &axle.Multipart{})
	require.ErrorIs(t, err, axle.CodeBadOption)
	require.ErrorContains(t, err, "NewMultipart")
	assert.Zero(t, network.Sent.Load())
}
