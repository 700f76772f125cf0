package axle

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"

	"github.com/axlehttp/axle/internal/rewind"
	"github.com/axlehttp/axle/internal/wire"
)

// Multipart is a multipart/form-data body. Make one with [NewMultipart]:
//
//	form := axle.NewMultipart().Field("title", "a cat").File("picture", "cat.png", file)
//	resp, err := client.Post(ctx, "/upload", form)
//
// It is sent with its own boundary, whatever a Content-Type header says. It is streamed, whatever
// its size. It can be sent again if each of its readers can, see [Request.SetBody]. Its readers
// serve one call at a time. A part with a fault fails the call with CodeBadOption, before anything
// is sent. A Multipart is not safe for concurrent use.
type Multipart struct {
	boundary string
	parts    []part
	bad      error
}

type part struct {
	head []byte
	body *rewind.Body // nil: empty
}

// NewMultipart returns an empty form.
func NewMultipart() *Multipart { return &Multipart{boundary: "axle-" + rand.Text()} }

// Field adds a field.
func (m *Multipart) Field(name, value string) *Multipart {
	return m.add(name, "", nil, strings.NewReader(value))
}

// Fields adds the fields of a map or a struct, by [QueryRepeat], in the order of their names.
func (m *Multipart) Fields(fields any) *Multipart {
	values, err := QueryRepeat(fields)
	if err != nil {
		return m.fail(fmt.Errorf("the fields (%T) cannot be encoded: %w", fields, err))
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			m.Field(name, value)
		}
	}
	return m
}

// File adds a file. Its Content-Type follows the extension of the filename.
func (m *Multipart) File(name, filename string, content io.Reader) *Multipart {
	contentType := mime.TypeByExtension(filepath.Ext(filename))
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	return m.FileOf(contentType, name, filename, content)
}

// FileOf adds a file, or with an empty filename a field, of a Content-Type of its own.
func (m *Multipart) FileOf(contentType, name, filename string, content io.Reader) *Multipart {
	return m.add(name, filename, textproto.MIMEHeader{"Content-Type": {contentType}}, content)
}

func (m *Multipart) add(name, filename string, header textproto.MIMEHeader, content io.Reader) *Multipart {
	if content == nil {
		return m.fail(fmt.Errorf("the multipart field %q has a nil reader", name))
	}
	for _, text := range []string{name, filename, header.Get("Content-Type")} {
		if i := wire.ControlByte(text); i >= 0 {
			return m.fail(fmt.Errorf("the multipart field %q has a control character at byte %d of %q",
				name, i, text))
		}
	}

	var head strings.Builder
	fmt.Fprintf(&head, `Content-Disposition: form-data; name="%s"`, escapeQuotes(name))
	if filename != "" {
		fmt.Fprintf(&head, `; filename="%s"`, escapeQuotes(filename))
	}
	head.WriteString("\r\n")
	if t := header.Get("Content-Type"); t != "" {
		head.WriteString("Content-Type: " + t + "\r\n")
	}
	head.WriteString("\r\n")

	m.parts = append(m.parts, part{[]byte(head.String()), newBody(content)})
	return m
}

// escapeQuotes escapes the quotes in a name, as the HTML standard has browsers do.
func escapeQuotes(s string) string { return strings.ReplaceAll(s, `"`, "%22") }

func (m *Multipart) fail(err error) *Multipart {
	if m.bad == nil {
		m.bad = err
	}
	return m
}

// contentType is the Content-Type of the form. The type and the parameters of a header stay if it
// is a multipart type, except for the boundary, which is the form's.
func (m *Multipart) contentType(header string) string {
	media, params, err := mime.ParseMediaType(header)
	if err == nil && strings.HasPrefix(media, "multipart/") {
		params["boundary"] = m.boundary
		if formatted := mime.FormatMediaType(media, params); formatted != "" {
			return formatted
		}
	}
	return mediaMultipart + "; boundary=" + m.boundary
}

// length is the length of the whole form in bytes; -1: unknown.
func (m *Multipart) length() int64 {
	n := int64(len(m.end()))
	for i, p := range m.parts {
		n += int64(len(m.delimiter(i)) + len(p.head))
		switch {
		case p.body == nil:
		case p.body.Size() < 0:
			return -1
		default:
			n += p.body.Size()
		}
	}
	return n
}

func (m *Multipart) delimiter(i int) string {
	if i == 0 {
		return "--" + m.boundary + "\r\n"
	}
	return "\r\n--" + m.boundary + "\r\n"
}

func (m *Multipart) end() string {
	if len(m.parts) == 0 {
		return "--" + m.boundary + "--\r\n"
	}
	return "\r\n--" + m.boundary + "--\r\n"
}

// rewind goes back to the start of each part, or says why one cannot be sent again.
func (m *Multipart) rewind(ctx context.Context) error {
	// A nil form is refused when it is sent.
	if m == nil {
		return nil
	}

	for _, p := range m.parts {
		if p.body != nil {
			if err := p.body.Rewind(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// open begins a reading of the form, which the transport closes.
func (m *Multipart) open(ctx context.Context) (io.ReadCloser, error) {
	var body multiReadCloser
	var readers []io.Reader
	for i, p := range m.parts {
		readers = append(readers, strings.NewReader(m.delimiter(i)), bytes.NewReader(p.head))
		if p.body == nil {
			continue
		}

		r, err := p.body.Open(ctx)
		if err != nil {
			_ = body.Close()
			return nil, err
		}
		body.closers = append(body.closers, r)
		readers = append(readers, r)
	}

	body.Reader = io.MultiReader(append(readers, strings.NewReader(m.end()))...)
	return &body, nil
}

// multiReadCloser is a form as it is read. It closes the readings of its parts.
type multiReadCloser struct {
	io.Reader
	closers []io.Closer
}

func (m *multiReadCloser) Close() (err error) {
	for _, c := range m.closers {
		if closeErr := c.Close(); err == nil {
			err = closeErr
		}
	}
	return err
}
