package axle

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/patient"
	"github.com/axlehttp/axle/internal/wire"
)

// This file undoes the Content-Encoding of a response: it says which encodings are asked for, and
// decompresses the body on its way to its reader.

// decompressor undoes one encoding.
type decompressor struct {
	encoding string // in lower case
	open     func(compressed io.Reader) (io.ReadCloser, error)
}

// The decompressors that need no setting.
var (
	gzipDecompressor    = decompressor{"gzip", openGzip}
	deflateDecompressor = decompressor{"deflate", openDeflate}
)

// builtInEncodings is the Accept-Encoding of a client without SetDecompressor.
var builtInEncodings = []string{"gzip, deflate"}

// mostEncodings is how many encodings of one body are undone. Each can make a thousand bytes of
// one, so that a body with many of them is an attack rather than a response.
const mostEncodings = 3

// SetDecompressor sets what undoes an encoding of responses, as "br" or "zstd". gzip and deflate are
// built in, and may be replaced. With a nil function the encoding is the built-in one again, or
// none.
//
//	client.SetDecompressor("br", func(r io.Reader) (io.ReadCloser, error) {
//		return io.NopCloser(brotli.NewReader(r)), nil
//	})
//
// The function open is called when the body is first read, unless the body is empty. It returns a
// reader of the decompressed bytes, which axle closes together with the body, and which need not
// close the compressed one. The reader may be read ahead of its caller, and damaged data is its
// error, which fails the call or the stream with CodeBadResponse. So does a reader that brings
// neither bytes nor an error a hundred times in a row. Many goroutines may call open at once.
//
// The Accept-Encoding header names the encodings, unless the request or the client sets that header,
// and except for a HEAD and a Range. A header of one's own is sent as it is, and the response is
// decompressed all the same. A body with several encodings is decompressed if the client knows all
// of them, and stays as it came otherwise. A body that is decompressed has lost its
// Content-Encoding and its Content-Length. [Client.SetResponseLimit] counts the decompressed bytes.
//
// Behind [Client.HTTPClient] axle neither asks for an encoding nor undoes one. An encoding that is
// not a name, is "identity", or has parameters fails each call with CodeBadOption.
func (c *Client) SetDecompressor(
	encoding string, open func(compressed io.Reader) (io.ReadCloser, error),
) *Client {
	return c.update(func(s *settings) {
		name := encodingName(encoding)
		if !wire.IsToken(name) || name == "identity" || name == "*" {
			s.decompressErr = fmt.Errorf("SetDecompressor needs the name of an encoding, as br, "+
				"and was given %q", encoding)
			return
		}

		isSame := func(d decompressor) bool { return d.encoding == name }
		s.decompressors = slices.DeleteFunc(slices.Clone(s.decompressors), isSame)
		if open != nil {
			s.decompressors = append(s.decompressors, decompressor{name, open})
		}
		s.encodings = encodingsWith(s.decompressors)
	})
}

// encodingsWith returns the Accept-Encoding of a client that has these decompressors beside the
// built-in ones.
func encodingsWith(own []decompressor) []string {
	names := []string{gzipDecompressor.encoding, deflateDecompressor.encoding}
	for _, d := range own {
		if !slices.Contains(names, d.encoding) {
			names = append(names, d.encoding)
		}
	}
	return []string{strings.Join(names, ", ")}
}

// encodingName returns an encoding in one spelling (RFC 9110 §8.4.1.3: "x-gzip" is "gzip").
func encodingName(encoding string) string {
	name := strings.ToLower(strings.TrimSpace(encoding))
	if name == "x-gzip" {
		return "gzip"
	}
	return name
}

// decompressor returns what undoes an encoding, and whether there is one.
func (s *settings) decompressor(encoding string) (decompressor, bool) {
	name := encodingName(encoding)
	for _, d := range s.decompressors {
		if d.encoding == name {
			return d, true
		}
	}
	switch name {
	case "gzip":
		return gzipDecompressor, true
	case "deflate":
		return deflateDecompressor, true
	}
	return decompressor{}, false
}

// decompressorsOf returns what undoes the encodings of a body, in the order in which they were
// applied. There are none if one of the encodings is unknown: half of them undone would be a body
// that no header describes.
func (s *settings) decompressorsOf(header http.Header) (list [mostEncodings]decompressor, count int) {
	for _, line := range header["Content-Encoding"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = encodingName(name); name == "" || name == "identity" {
				continue
			}
			d, known := s.decompressor(name)
			if !known || count == mostEncodings {
				return list, 0
			}
			list[count] = d
			count++
		}
	}
	return list, count
}

// askForEncodings asks for the encodings that the client undoes. Without SetDecompressor it does so
// where net/http's transport would ask for gzip by itself. Since axle asks, the transport does not
// decompress the response, and axle does. axle can then tell damaged data from a network that broke
// off.
func (d *dispatch) askForEncodings() {
	// A browser asks for the encodings that it undoes.
	s := d.request.pass.settings
	if s.usesFetch() {
		return
	}

	_, found := d.header["Accept-Encoding"]
	if found || d.request.method() == http.MethodHead || d.header.Get("Range") != "" {
		return
	}

	switch {
	case len(s.decompressors) > 0:
		d.header["Accept-Encoding"] = s.encodings
	case asksForGzip(s.engine.transport()):
		d.header["Accept-Encoding"] = builtInEncodings
	}
}

// decompress returns the body decompressed, if the client knows its encodings, and corrects the
// header.
//
// A range of a compressed body stays as it is: a part of the compressed bytes cannot be decompressed
// alone, and net/http too leaves the responses to a Range as they are.
func decompress(req *Request, raw *http.Response) io.ReadCloser {
	// A browser has undone the encodings, and has left the header as it was.
	if req.settings().usesFetch() && fetch.Decodes(raw.Header["Content-Encoding"]) {
		raw.Uncompressed, raw.ContentLength = true, -1
		raw.Header.Del("Content-Encoding")
		raw.Header.Del("Content-Length")
		return raw.Body
	}

	encodings, count := req.settings().decompressorsOf(raw.Header)
	isRange := raw.StatusCode == http.StatusPartialContent || req.Header.Get("Range") != ""
	if count == 0 || isRange || req.method() == http.MethodHead {
		return raw.Body
	}

	raw.Uncompressed, raw.ContentLength = true, -1
	raw.Header.Del("Content-Encoding")
	raw.Header.Del("Content-Length")

	// The encoding that was applied last is undone first.
	body := raw.Body
	for _, d := range slices.Backward(encodings[:count]) {
		body = &decompressed{decompressor: d, body: body, source: sourceErrors{Reader: body}}
	}
	return body
}

// decompressed is a body on its way through a decompressor. It reads nothing before it is read.
type decompressed struct {
	decompressor
	body   io.Closer
	source sourceErrors // the compressed bytes, and an error of theirs

	mu     sync.Mutex // a close may come while a read waits
	reader io.ReadCloser
	err    error // of the first read that failed; io.EOF at the end
}

// Read implements io.Reader.
func (d *decompressed) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil && d.reader == nil {
		d.err = d.begin()
	}
	if d.err != nil {
		return 0, d.err
	}

	n, err := patient.Read(d.reader, p)
	if err != nil {
		d.err = d.explain(err)
	}
	return n, d.err
}

// begin opens the decompressor. An empty body, which needs none, is io.EOF.
func (d *decompressed) begin() error {
	compressed := bufio.NewReader(&d.source)
	if _, err := compressed.Peek(1); err != nil {
		return err
	}

	reader, err := d.open(compressed)
	switch {
	//nolint:errorlint // a body that has begun has not ended
	case err == io.EOF:
		return d.explain(io.ErrUnexpectedEOF)
	case err != nil:
		return d.explain(err)
	case reader == nil:
		return fmt.Errorf("the decompressor of %q returned neither a reader nor an error", d.encoding)
	}
	d.reader = reader
	return nil
}

// explain tells damaged data from a network that broke off, whose error a decompressor may have
// replaced by its own.
func (d *decompressed) explain(err error) error {
	//nolint:errorlint // an error around io.EOF is an error of the body's
	if err == io.EOF {
		return err
	}
	if broken := d.source.failed(); broken != nil {
		return broken
	}
	if err == io.ErrNoProgress { //nolint:errorlint // it is patient.Read's
		message := fmt.Sprintf("the decompressor of %q yields neither bytes nor an error", d.encoding)
		return &Error{Code: CodeBadResponse, Message: message, Err: err}
	}
	return &Error{
		Code: CodeBadResponse,
		Message: fmt.Sprintf("the Content-Encoding says %s, and the body is not whole and valid %s data",
			d.encoding, d.encoding),
		Err: err,
	}
}

// Close closes the body and the decompressor. The body comes first, since that ends a read which
// waits for the network. An error of the decompressor does not matter by then.
func (d *decompressed) Close() error {
	err := d.body.Close()

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reader != nil {
		_ = d.reader.Close()
	}
	d.reader, d.err = nil, http.ErrBodyReadAfterClose
	return err
}

// sourceErrors keeps the error that the reading of a source has ended with, unless that is io.EOF.
// A decompressor may read on a goroutine of its own.
type sourceErrors struct {
	io.Reader
	mu  sync.Mutex
	err error
}

// Read implements io.Reader.
func (s *sourceErrors) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return n, err
}

func (s *sourceErrors) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func openGzip(compressed io.Reader) (io.ReadCloser, error) {
	zip, err := gzip.NewReader(compressed)
	if err != nil {
		return nil, err
	}
	return zip, nil
}

// openDeflate opens a body in zlib's format, which the name "deflate" means (RFC 9110 §8.4.1.2), or
// in the bare deflate format, which some servers send instead. The first byte of zlib's format says
// "deflate", and the first two are a multiple of 31 (RFC 1950 §2.2). A bare block would begin so
// only if its unused bits were not zero.
func openDeflate(compressed io.Reader) (io.ReadCloser, error) {
	// An error comes again when the bytes before it are read.
	source := bufio.NewReader(compressed)
	head, _ := source.Peek(2)

	const deflate = 8
	if len(head) == 2 && head[0]&0x0f == deflate && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(source)
	}
	return flate.NewReader(source), nil
}

// encodingOf says which Content-Encoding is still on a body, for the error of one that does not
// decode. It is empty where none seems to be.
func encodingOf(header http.Header, body []byte) string {
	declared := strings.Join(header["Content-Encoding"], ", ")
	switch {
	case declared != "" && !strings.EqualFold(declared, "identity"):
		return fmt.Sprintf("it is still encoded, by its Content-Encoding %q: see Client.SetDecompressor",
			declared)
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return "it looks like gzip data, and no Content-Encoding says so"
	}
	return ""
}
