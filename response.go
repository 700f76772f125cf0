package axle

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/axlehttp/axle/internal/patient"
	"github.com/axlehttp/axle/internal/redact"
)

// Response is an HTTP response: it came from the network, or a handler made it with [NewResponse].
//
// Its body is in memory ([Response.Bytes]) unless the request asked for a stream
// ([Response.Stream]). A Response is not safe for concurrent use, except that many goroutines may
// read one whose body is in memory.
type Response struct {
	Request    *Request // the call's request as the handlers left it
	StatusCode int
	Status     string // "200 OK"
	Header     http.Header

	raw      *http.Response
	body     []byte
	stream   *responseStream // what is still to be read; nil: the body is in memory
	duration time.Duration
}

// NewResponse returns a synthetic response, for caches, mocks and recoveries. If req is nil, the
// call that gets the response fills it in. A nil header is an empty one.
func NewResponse(req *Request, status int, header http.Header, body []byte) *Response {
	if header == nil {
		header = http.Header{}
	}
	text := strconv.Itoa(status)
	if s := http.StatusText(status); s != "" {
		text += " " + s
	}
	return &Response{Request: req, StatusCode: status, Status: text, Header: header, body: body}
}

// Bytes returns the body. It is nil for a stream until [Response.Buffer]. The caller must not
// modify it.
func (r *Response) Bytes() []byte { return r.body }

// String returns the body as a string. Package fmt prints the status and the headers instead, see
// [Response.Format].
func (r *Response) String() string { return string(r.body) }

// SetBytes sets the body, for interceptors that unwrap or transform it. A stream that it replaces
// is closed.
func (r *Response) SetBytes(body []byte) *Response {
	r.close()
	r.body, r.stream = body, nil
	return r
}

// IsStream reports whether the body is a stream that has not been read. [Response.Bytes] is then
// empty, though the body need not be. A handler that transforms bodies by [Response.SetBytes]
// passes streams on as they are, or calls [Response.Buffer] first. Behind [Client.RoundTripper]
// every body is a stream.
func (r *Response) IsStream() bool { return r.stream != nil }

// Stream returns the body as a stream, which the caller must close. It is never nil: of a body in
// memory, each call of Stream returns a new reader.
func (r *Response) Stream() io.ReadCloser {
	if r.stream != nil {
		return r.stream.ReadCloser
	}
	return io.NopCloser(bytes.NewReader(r.body))
}

// SetStream replaces the stream of the response, also in the copies of the response. Usually body
// wraps the current stream, which SetStream does not close. A nil body is an empty one. Behind
// [Client.RoundTripper] the response then has no Content-Length, unless the handler sets that
// header itself.
func (r *Response) SetStream(body io.ReadCloser) *Response {
	if body == nil {
		body = http.NoBody
	}
	if r.stream == nil {
		r.stream = new(responseStream)
	}
	r.body, r.stream.ReadCloser, r.stream.isReplaced = nil, body, true
	return r
}

// Buffer reads a stream to its end, within the response limit and the request's context, and closes
// it. The body is then in memory. If reading fails, the bytes that came before the error are kept.
// Without a stream Buffer does nothing. Its error is an [*Error].
func (r *Response) Buffer() error {
	if err := r.bufferWhole(); err != nil {
		return err
	}
	return nil
}

func (r *Response) bufferWhole() *Error {
	if r.stream == nil {
		return nil
	}
	ctx := context.Background()
	if r.Request != nil {
		ctx = r.Request.Context()
	}
	return r.buffer(ctx)
}

func (r *Response) buffer(ctx context.Context) *Error {
	stream := r.stream.ReadCloser
	if r.Request != nil {
		// The network's stream has its limit already. A handler may have put another stream in its
		// place, as a decompressor.
		if s := r.Request.settings(); s != nil && s.responseLimit > 0 {
			stream = &limited{what: "response", body: stream, left: s.responseLimit, limit: s.responseLimit}
		}
	}

	body, err := readAll(stream, r.contentLength())
	r.body, r.stream = body, nil
	_ = stream.Close()
	if err == nil {
		return nil
	}

	e := failure(ctx, r.Request, err)
	e.Response = r
	return e
}

// Duration returns the time from the start of the attempt to the end of the body, or, for a stream,
// to its headers. It is zero for a synthetic response.
func (r *Response) Duration() time.Duration { return r.duration }

// Raw returns the net/http response; nil for a synthetic response. Its Body must not be read. Its
// Request is the last one that was sent: after redirects, the one that the last redirect led to.
func (r *Response) Raw() *http.Response { return r.raw }

// Decode decodes the body into v by its Content-Type: as JSON, as XML, as a form (into a
// *url.Values), or by [Client.SetCodec]. A body without a Content-Type, or with another one, is
// decoded as JSON. An empty body leaves v as it is. A stream is buffered first.
//
// A *[]byte gets the body verbatim. A *string gets the value of a JSON string where the
// Content-Type says JSON, and any other body verbatim. JSON is UTF-8 (RFC 8259 §8.1), and Decode
// ignores a byte order mark before it.
//
// The error is an [*Error] with CodeBadResponse. It names the Content-Type, and a Content-Encoding
// that is still on the body, and it keeps the body.
func (r *Response) Decode(v any) error {
	if err := r.decode(v); err != nil {
		return err
	}
	return nil
}

func (r *Response) decode(v any) *Error {
	if err := r.bufferWhole(); err != nil {
		return err
	}
	if len(r.body) == 0 {
		return nil
	}

	if err := r.settings().decode(r.body, r.Header.Get("Content-Type"), v); err != nil {
		message := fmt.Sprintf("the body does not decode into %T", v)
		if encoding := encodingOf(r.Header, r.body); encoding != "" {
			message += ": " + encoding
		}
		return &Error{Code: CodeBadResponse, Message: message, Request: r.Request, Response: r, Err: err}
	}
	return nil
}

// settings are the settings that the body is decoded by.
func (r *Response) settings() *settings {
	if r.Request != nil {
		if s := r.Request.settings(); s != nil {
			return s
		}
	}
	return &noSettings
}

var errNilTarget = errors.New("the target is nil")

// decodeJSONString sets v to the value of a body that is a JSON string, and reports whether the
// body is one.
func decodeJSONString(body []byte, v *string, unmarshalJSON func([]byte, any) error) bool {
	text, err := jsonText(body)
	if err != nil || !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte(`"`)) {
		return false
	}

	var value string
	if unmarshalJSON(text, &value) != nil {
		return false
	}
	*v = value
	return true
}

// jsonText is a body without the byte order mark that some servers put before their JSON (RFC 8259
// §8.1 allows a reader to ignore it). JSON in UTF-16 or UTF-32 is an error: the first two of its
// bytes are a mark, or one of them is zero (RFC 4627 §3).
func jsonText(body []byte) ([]byte, error) {
	if len(body) >= 2 {
		hasMark := bytes.HasPrefix(body, []byte("\xfe\xff")) || bytes.HasPrefix(body, []byte("\xff\xfe"))
		if hasMark || body[0] == 0 || body[1] == 0 {
			return nil, errors.New("the text is UTF-16 or UTF-32, and JSON has to be UTF-8")
		}
	}
	return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), nil
}

// SaveFile writes the body to a file: all of it, or nothing. A file that is there already is
// replaced when the whole body has arrived. A stream is not buffered on its way to the file, and is
// closed. An error of the stream is an [*Error], as [Response.Buffer]'s; an error of the file is
// package os's.
//
// A file that is replaced passes its permissions on, so that a private file stays private. A new
// file gets the permissions that the umask leaves. A symbolic link at path is replaced too, by a
// file with the permissions of the link's target. The target itself stays as it is.
func (r *Response) SaveFile(path string) (err error) {
	stream := r.Stream()
	defer func() { _ = stream.Close() }()

	// The body goes to a file beside the one that it will replace, since only a rename within one
	// folder is atomic.
	mode, replaces := os.FileMode(0o666), false
	if old, err := os.Stat(path); err == nil && old.Mode().IsRegular() {
		mode, replaces = old.Mode().Perm(), true
	}
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text())
	//nolint:gosec // the umask decides, as for any download
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(name)
		}
	}()

	source := &readErrors{Reader: stream}
	if _, err = io.Copy(file, source); err != nil {
		if source.err != nil && r.Request != nil {
			e := failure(r.Request.Context(), r.Request, source.err)
			e.Response = r
			return e
		}
		return err
	}

	// The umask may have taken some of the permissions.
	if replaces {
		if err := file.Chmod(mode); err != nil {
			return err
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(name, path)
}

// readErrors tells a copy's failure to read from one to write.
type readErrors struct {
	io.Reader
	err error
}

func (r *readErrors) Read(p []byte) (int, error) {
	n, err := patient.Read(r.Reader, p)
	if err != nil && err != io.EOF { //nolint:errorlint // an error around io.EOF is an error of the body's
		r.err = err
	}
	return n, err
}

// close closes a stream that nobody will read. A body in memory stays.
func (r *Response) close() {
	if r == nil || r.stream == nil {
		return
	}
	r.drain()
	_ = r.stream.Close()
}

// sharesStream reports whether both have one stream, so that the one must not be closed while the
// other is in use. A handler may return a copy of the response that it was given, or put its stream
// into another.
func (r *Response) sharesStream(other *Response) bool {
	if r == nil || other == nil || r.stream == nil || other.stream == nil {
		return false
	}
	return r.stream == other.stream || isSame(r.stream.ReadCloser, other.stream.ReadCloser)
}

// statusLine is the status for people, in one line.
func (r *Response) statusLine() string {
	code, text := strconv.Itoa(r.StatusCode), redact.OneLine(r.Status)
	switch {
	case text == "":
		return code
	case strings.HasPrefix(text, code):
		return text
	}

	// A transport of the user's own may leave the code out.
	return code + " " + text
}

// contentLength is the length of the stream in bytes, as far as the network's response tells it;
// -1: unknown.
func (r *Response) contentLength() int64 {
	switch {
	case r.raw == nil, r.raw.Uncompressed:
		return -1
	case r.Request != nil && r.Request.method() == http.MethodHead,
		r.StatusCode == http.StatusNoContent, r.StatusCode == http.StatusNotModified:
		return 0
	}
	return r.raw.ContentLength
}
