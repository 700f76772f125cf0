package wire

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/axlehttp/axle/internal/redact"
)

// Base is a base URL that paths can be joined to. The placeholders of its host are filled in; those
// of its path and its query are filled in anew by each [Join]. A Base is never modified.
type Base struct {
	url.URL
	head            string   // the scheme and the host
	pathTemplate    string   // the path as it is written
	hostParams      []string // the names of the placeholders that were written in the host
	hasPlaceholders bool     // in its path or its query
}

// ParseBase checks a base URL and fills in the placeholders of its host, from the defaults alone:
// the host decides where a client's credentials go. An empty text is no base URL, and gives nil.
// The error of a placeholder is a [*ParamError].
func ParseBase(raw string, defaults Params) (*Base, error) {
	if raw == "" {
		return nil, nil
	}
	if !IsAbsolute(raw) {
		return nil, fmt.Errorf("the base URL %q is not absolute: it needs http:// or https://",
			redact.RawURL(raw))
	}

	head, path, query := splitAbsolute(raw)
	base := &Base{
		pathTemplate:    path,
		hostParams:      PlaceholderNames(head),
		hasPlaceholders: strings.Contains(path+query, "{"),
	}
	var err error
	if base.head, err = (Values{Defaults: defaults}).expand(head, inHost); err != nil {
		return nil, err
	}

	u, err := parseAbsolute(withQuery(base.head+path, query))
	if err != nil {
		return nil, fmt.Errorf("the base URL: %w", err)
	}
	base.URL = *u
	return base, nil
}

// Join makes the URL of a request: of an absolute URL, or of a path, with or without a query, that
// is joined to the base URL. The base is nil where there is none. The error of a placeholder is a
// [*ParamError].
//
// A text that is neither a plain path nor an http(s) URL is refused, since a server or a proxy
// might take it for another host: //host, \\host, /\host, http:host (CVE-2024-39338,
// CVE-2025-27152). Join looks at the text before it fills in the placeholders, so that no value
// makes a path an absolute URL.
func Join(base *Base, raw string, values Values) (*url.URL, error) {
	switch {
	case IsAbsolute(raw):
		return expandAbsolute(raw, values)
	case isLikeAnotherHost(raw):
		return nil, fmt.Errorf("the URL %q is neither a path nor an absolute URL", redact.RawURL(raw))
	case base == nil:
		return nil, fmt.Errorf("the URL %q is a path, and the client has no base URL", redact.RawURL(raw))
	}
	return base.join(raw, values)
}

// IsAbsolute reports whether a text starts with a scheme and "://".
func IsAbsolute(raw string) bool {
	scheme, _, found := strings.Cut(raw, "://")
	return found && scheme != "" && !strings.ContainsAny(scheme, "/?#\\")
}

// isLikeAnotherHost tells a text that looks like a path, and that some parsers of URLs take for
// another host.
func isLikeAnotherHost(raw string) bool {
	for _, prefix := range []string{"//", `\`, `/\`} {
		if strings.HasPrefix(raw, prefix) {
			return true
		}
	}
	start := strings.ToLower(raw[:min(len(raw), len("https:"))])
	return strings.HasPrefix(start, "http:") || start == "https:"
}

// IsPlainJoin reports whether a path can be put behind the base URL as it is: no placeholder has to
// be filled in, nothing has to be escaped, and so [Join] returns no error.
func (b *Base) IsPlainJoin(path string) bool {
	return !b.hasPlaceholders && isPlainPath(path) && !strings.HasPrefix(path, "//")
}

// isPlainPath reports whether a path has letters, digits, "/", "-", "_" and "." alone.
func isPlainPath(path string) bool {
	for i := range len(path) {
		if c := path[i]; !isLetter(c) && !isDigit(c) && c != '/' && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// join joins a path, with or without a query, to the base URL.
func (b *Base) join(raw string, values Values) (*url.URL, error) {
	if err := b.checkHostParams(values); err != nil {
		return nil, err
	}

	raw, _, _ = strings.Cut(raw, "#")
	path, rawQuery, _ := strings.Cut(raw, "?")
	joined := b.URL
	if err := b.joinPath(&joined, path, values); err != nil {
		return nil, err
	}
	if err := joinQuery(&joined, rawQuery, values); err != nil {
		return nil, err
	}

	KeepEscapes(&joined)
	return &joined, nil
}

// checkHostParams refuses a request that sets a placeholder of the base URL's host to another value
// than the client does.
func (b *Base) checkHostParams(values Values) error {
	for _, name := range b.hostParams {
		if own, isSet := values.Own[name]; isSet && own != values.Defaults[name] {
			return &ParamError{name, "stands in the host of the base URL, " +
				"which takes the client's default alone (Client.SetPathParam)"}
		}
	}
	return nil
}

// joinPath puts a path behind that of joined, which starts as the base URL.
func (b *Base) joinPath(joined *url.URL, path string, values Values) error {
	if !b.hasPlaceholders {
		if path == "" {
			return nil
		}

		// Most paths can be appended as they are, which spares them a second parse of the whole
		// URL.
		if joined.RawPath == "" && isPlainPath(path) {
			joined.Path = appendPath(joined.Path, path)
			return nil
		}
	}

	template := b.pathTemplate
	if path != "" {
		template = appendPath(template, path)
	}
	expanded, err := values.ExpandPath(template)
	if err != nil {
		return err
	}
	u, err := url.Parse(b.head + expanded)
	if err != nil {
		return fmt.Errorf("the path %q does not parse: %w", redact.RawURL(path), withoutURL(err))
	}
	joined.Path, joined.RawPath = u.Path, u.RawPath
	return nil
}

// appendPath puts one path behind another, with one slash between them.
func appendPath(base, path string) string {
	return strings.TrimRight(base, "/") + "/" + strings.TrimLeft(path, "/")
}

// joinQuery puts a query behind that of joined, and fills in the placeholders of both.
func joinQuery(joined *url.URL, rawQuery string, values Values) (err error) {
	if rawQuery != "" {
		if joined.RawQuery != "" {
			joined.RawQuery += "&"
		}
		joined.RawQuery += rawQuery
	}

	if joined.RawQuery, err = values.expand(joined.RawQuery, inQuery); err != nil {
		return err
	}
	if i := ControlByte(joined.RawQuery); i >= 0 {
		return fmt.Errorf("the query has a control character at byte %d", i)
	}
	return nil
}

// expandAbsolute fills in the placeholders of an absolute URL and parses it.
func expandAbsolute(raw string, values Values) (*url.URL, error) {
	if !strings.Contains(raw, "{") {
		return parseAbsolute(raw)
	}

	head, rawPath, rawQuery := splitAbsolute(raw)
	head, err := values.expand(head, inHost)
	if err != nil {
		return nil, err
	}
	if rawPath, err = values.ExpandPath(rawPath); err != nil {
		return nil, err
	}
	if rawQuery, err = values.expand(rawQuery, inQuery); err != nil {
		return nil, err
	}
	return parseAbsolute(withQuery(head+rawPath, rawQuery))
}

// splitAbsolute cuts an absolute URL into its scheme and host, its path and its query. The
// fragment, which is not sent, is dropped.
func splitAbsolute(raw string) (head, path, query string) {
	raw, _, _ = strings.Cut(raw, "#")
	raw, query, _ = strings.Cut(raw, "?")

	scheme, rest, _ := strings.Cut(raw, "://")
	host, path, found := strings.Cut(rest, "/")
	if found {
		path = "/" + path
	}
	return scheme + "://" + host, path, query
}

func withQuery(raw, query string) string {
	if query == "" {
		return raw
	}
	return raw + "?" + query
}

// parseAbsolute parses an absolute URL that has no placeholders any more.
func parseAbsolute(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the URL %q does not parse: %w", redact.RawURL(raw), withoutURL(err))
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the URL %q has the scheme %q: only http and https are sent",
			redact.RawURL(raw), u.Scheme)
	case u.Hostname() == "":
		return nil, fmt.Errorf("the URL %q has no host", redact.RawURL(raw))
	}

	u.Fragment, u.RawFragment = "", ""
	KeepEscapes(u)
	return u, nil
}

// withoutURL is the error of [url.Parse] without the URL, which may hold a secret.
func withoutURL(err error) error {
	if parsing, ok := errors.AsType[*url.Error](err); ok {
		return parsing.Err
	}
	return err
}
