package axle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-resty/resty/v2"

	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/fetch"
	"github.com/axlehttp/axle/internal/redact"
	"github.com/axlehttp/axle/internal/wire"
)

// This file is the second engine, and alone knows resty. No line of it runs before
// [Client.SetEngine] or [FromResty].

// SetEngine puts a resty client in the place of net/http's, beneath the chains: the escape hatch
// for what axle has no setting for, such as resty's hooks, middleware, debug log, trace, digest
// authentication and TLS settings. The function configures that client. It runs at once, and again
// whenever a later setting rebuilds the engine. It must not keep the client. A nil function puts
// net/http back.
//
// The resty client sends what the chains have made of a call. Its OnBeforeRequest hooks see the
// method, the URL and the header, and may change the URL and the header. The body is axle's: a hook
// that sets one fails the call with CodeBadOption. The hook of SetPreRequestHook runs last, and
// sees the request as it will be sent. Its OnAfterResponse hooks see the response with its body,
// before any response handler does. As in resty itself, they do not run where the body is left
// unread: for a streamed call. Since resty has read the body by then, [Request.OnDownloadProgress]
// tells the end alone.
//
// The retries of resty are off, since they would go round the interceptors. The parts that resty
// adds to a request, and the lines that it logs, are outside axle's care: handlers do not see them,
// and axle redacts nothing of them. Behind [Client.RoundTripper] only the transport of the resty
// client is used.
//
// On a client of [FromResty] the function configures a further copy of that resty client.
func (c *Client) SetEngine(configure func(*resty.Client)) *Client {
	return c.update(func(s *settings) {
		s.engine = nil
		if configure == nil {
			s.resty = nil
			return
		}

		source := restySource{}
		if before, ok := s.resty.(*restySource); ok {
			source = *before
		}
		source.configure = configure
		s.resty = &source
	})
}

// FromResty puts the chains over a resty client that a program has already:
//
//	client := axle.FromResty(rc)
//	client.Use(auth.New(session))
//
// A setting that axle has too becomes the new client's: the base URL, headers, query and path
// parameters, cookies, the token or the password of SetAuthToken and SetBasicAuth, the time limit,
// form data, the JSON and XML codecs, the response limit, the transport with its proxy and TLS
// settings, and the cookie jar. So handlers see it, a call may override it, and the rules for
// origins hold: a credential goes to the origin of the base URL alone. If rc has a credential and
// no base URL, each call fails with CodeBadOption until [Client.SetBaseURL] has been called. The
// rest holds in the engine, beneath the chains, as [Client.SetEngine] describes it: hooks,
// middleware, redirect policies, debug log, trace, rate limiter, digest authentication. They run
// once for each dispatch, so also for a replay. How many redirects are followed is for rc's
// redirect policy to say, if it has one.
//
// As everywhere in axle, a status outside 200 to 299 is an error; with [Client.SetValidateStatus]
// and nil it is none, as in resty. The retries of rc are off.
//
// FromResty works on a copy. rc itself is not changed, may go on being used, and must not be
// changed by other goroutines while FromResty runs. Later changes to rc do not reach the new
// client, except for those to the transport and the jar, which both share. A nil rc, one that no
// function of resty has made, and one with SetDoNotParseResponse fail each call with CodeBadOption.
func FromResty(rc *resty.Client) *Client {
	c := New()
	return c.update(func(s *settings) {
		if rc == nil {
			s.restyErr = errors.New("FromResty was given a nil resty client")
			return
		}
		if rc.GetClient() == nil {
			s.restyErr = errors.New("FromResty was given a resty client that has no http.Client: " +
				"resty.New makes one that has")
			return
		}

		s.engine = nil
		if s.restyErr = s.takeOver(rc); s.restyErr != nil {
			s.resty = nil
		}
	})
}

// restySource says how the resty client of an engine is made.
type restySource struct {
	snapshot  *resty.Client       // FromResty's; nil: a fresh resty client
	spelling  map[string]string   // SetHeaderVerbatim's, by the canonical name
	configure func(*resty.Client) // SetEngine's; nil: none
}

// takeOver makes axle's settings of what a resty client has, and the engine of the rest.
func (s *settings) takeOver(rc *resty.Client) error {
	snapshot, err := copyResty(rc)
	if err != nil {
		return err
	}
	unread, err := restyField[bool](rc, "notParseResponse")
	if err != nil {
		return err
	}
	if *unread {
		return errors.New("the resty client has SetDoNotParseResponse, which a single call decides " +
			"here: turn it off for FromResty, and use Request.SetStream")
	}
	s.resty = &restySource{snapshot: snapshot, spelling: spellings(rc.Header)}

	base := rc.BaseURL
	if base == "" {
		base = rc.HostURL
	}
	params := wire.Params{}
	for name, value := range rc.RawPathParams {
		params[name] = wire.Param{Text: value, Raw: true}
	}
	for name, value := range rc.PathParams {
		params[name] = wire.Param{Text: value}
	}
	s.setBase(base, params)
	s.query = cloneValues(rc.QueryParam)
	s.form = formDefaults{values: cloneValues(rc.FormData), onGet: rc.AllowGetMethodPayload}
	s.takeOverHeader(rc)

	hc := snapshot.GetClient()
	s.timeout, s.jar, s.transport = max(hc.Timeout, 0), hc.Jar, hc.Transport
	if s.transport == nil {
		s.transport = http.DefaultTransport
	}
	if hc.CheckRedirect != nil {
		s.maxRedirects, s.limitsRedirects = math.MaxInt, true
	}
	s.responseLimit = int64(max(rc.ResponseBodyLimit, 0))
	return s.takeOverCodecs(rc)
}

// takeOverHeader takes a resty client's headers, cookies and credentials over, in the order in
// which resty would apply them.
func (s *settings) takeOverHeader(rc *resty.Client) {
	s.header = http.Header{}
	for _, name := range slices.Sorted(maps.Keys(rc.Header)) {
		key := textproto.CanonicalMIMEHeaderKey(name)
		s.header[key] = append(s.header[key], rc.Header[name]...)
	}

	carrier := http.Request{Header: s.header}
	for _, cookie := range rc.Cookies {
		carrier.AddCookie(cookie)
	}

	if rc.UserInfo != nil {
		s.header.Set("Authorization", BasicAuth(rc.UserInfo.Username, rc.UserInfo.Password))
	}
	if rc.Token != "" {
		name := textproto.CanonicalMIMEHeaderKey(rc.HeaderAuthorizationKey)
		s.header[name] = []string{strings.TrimSpace(rc.AuthScheme + " " + rc.Token)}
		if !redact.Name(name) {
			s.sensitive = map[string]bool{name: true}
		}
	}

	// A credential goes to the base URL's origin alone. Without a base URL it would be left out in
	// silence.
	for name := range s.header {
		if s.isSensitive(name) {
			s.needsBase = "the header " + name
		}
	}
	for name := range s.query {
		if redact.Name(name) {
			s.needsBase = "the query parameter " + name
		}
	}
}

// spellings returns the names that are not in canonical form, by their canonical form.
func spellings(header http.Header) map[string]string {
	written := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if key := textproto.CanonicalMIMEHeaderKey(name); key != name {
			written[key] = name
		}
	}
	return written
}

// takeOverCodecs takes a resty client's JSON and XML functions over.
func (s *settings) takeOverCodecs(rc *resty.Client) error {
	s.marshal, s.unmarshal = rc.JSONMarshal, rc.JSONUnmarshal
	s.codecs = map[string]codec{mediaXML: {rc.XMLMarshal, rc.XMLUnmarshal}}

	// resty escapes HTML by JSONMarshal, and where it does not it always uses encoding/json.
	escapes, err := restyField[bool](rc, "jsonEscapeHTML")
	if err == nil && !*escapes {
		s.marshal = marshalUnescaped
	}
	return err
}

// marshalUnescaped is json.Marshal, except that it leaves "<", ">" and "&" as they are.
func marshalUnescaped(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return text.Bytes(), err
}

// newClient makes the resty client of an engine, with this transport and this jar.
func (s *restySource) newClient(transport http.RoundTripper, jar http.CookieJar) (*resty.Client, error) {
	rc := resty.NewWithClient(&http.Client{Transport: transport, Jar: jar})
	if s.snapshot != nil {
		var err error
		if rc, err = copyResty(s.snapshot); err != nil {
			return nil, err
		}
		hc := rc.GetClient()
		hc.Transport, hc.Jar, hc.Timeout = transport, jar, 0
		dropDefaults(rc)
	}

	if s.configure != nil {
		s.configure(rc)
	}
	return rc, nil
}

// dropDefaults takes from a resty client what axle applies in its place. The base URL does no harm,
// since each URL that the engine is given is absolute, and hooks may want to read it.
func dropDefaults(rc *resty.Client) {
	rc.Header, rc.QueryParam, rc.FormData = http.Header{}, url.Values{}, url.Values{}
	rc.PathParams, rc.RawPathParams = map[string]string{}, map[string]string{}
	rc.Cookies, rc.UserInfo, rc.Token, rc.ResponseBodyLimit = nil, nil, "", 0
}

// copyResty returns a copy of a resty client that shares neither the http.Client nor a list of
// hooks with it. resty's own Clone shares both, so that what is set on the clone would change the
// original.
func copyResty(rc *resty.Client) (*resty.Client, error) {
	c := rc.Clone()
	client, err := restyField[*http.Client](c, "httpClient")
	if err != nil {
		return nil, err
	}
	hc := *rc.GetClient()
	*client = &hc

	// A list that is full cannot be appended to in the memory that both clients have.
	fields := reflect.ValueOf(c).Elem()
	for _, field := range fields.Fields() {
		if field.Kind() == reflect.Slice {
			list := reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem()
			list.SetCap(list.Len())
		}
	}
	return c, nil
}

// restyField returns a field that resty does not export and has no getter or setter for. The unsafe
// conversion is sound, since the type is checked first. A release of resty v2 that has no such
// field is refused, and not guessed at.
func restyField[T any](rc *resty.Client, name string) (*T, error) {
	field := reflect.ValueOf(rc).Elem().FieldByName(name)
	if !field.IsValid() || field.Type() != reflect.TypeFor[T]() {
		return nil, fmt.Errorf("this release of resty has no field %s of the type %v, which axle needs",
			name, reflect.TypeFor[T]())
	}
	return (*T)(field.Addr().UnsafePointer()), nil
}

// restyEngine sends by a resty client. The client is made when it is first asked for, since that
// runs the user's code.
type restyEngine struct{ made func() restyClient }

type restyClient struct {
	*resty.Client
	beneath http.RoundTripper // beneath axle's own
	err     error             // why there is no client
}

// newEngine implements engineSource.
func (s *restySource) newEngine(transport http.RoundTripper, jar http.CookieJar) engine {
	return &restyEngine{made: sync.OnceValue(func() restyClient {
		rc, err := s.newClient(transport, jar)
		if err != nil {
			return restyClient{beneath: transport, err: err}
		}
		return beneathChains(rc, s.spelling)
	})}
}

// beneathChains takes a resty client over for the use beneath the chains.
func beneathChains(rc *resty.Client, spelling map[string]string) restyClient {
	hc := rc.GetClient()
	transport := hc.Transport
	hook, err := restyField[resty.PreRequestHook](rc, "preReqHook")
	if err != nil {
		return restyClient{beneath: transport, err: err}
	}

	// resty's FlexibleRedirectPolicy copies all headers where the host name stays, whatever becomes
	// of the scheme and the port. The credentials among them are taken out again.
	hasPolicy := hc.CheckRedirect != nil
	hc.CheckRedirect = checkRedirectToo(hc.CheckRedirect)

	// The http.Client cannot be exchanged for one request. So the cookies of a refresh are told
	// from others below it.
	hc.Jar = cookies.Route(hc.Jar)
	if fetch.Possible && fetch.SentBy(transport) {
		hc.Jar = nil // the browser keeps the cookies
	}
	ownTransport := func() {
		if _, ok := hc.Transport.(*restyTransport); !ok {
			hc.Transport = &restyTransport{
				Transport: cookies.Transport{RoundTripper: hc.Transport, Jar: hc.Jar},
				plain:     cookies.Transport{RoundTripper: transport, Jar: hc.Jar},
			}
		}
	}
	ownTransport()

	rc.SetRetryCount(0)
	userHook := *hook
	*hook = func(c *resty.Client, raw *http.Request) error {
		// resty's digest authentication changes the transport for each request, in a hook.
		ownTransport()

		d, isAxles := raw.Context().Value(dispatchKey{}).(*dispatch)
		if isAxles {
			if err := d.attachToResty(raw, spelling); err != nil {
				return err
			}
		}
		if userHook != nil {
			if err := userHook(c, raw); err != nil {
				return err
			}
		}

		// Any hook may have added a credential, or something that a browser drops.
		if fetch.Possible && isAxles && d.request.settings().usesFetch() {
			if err := d.prepareRestyForFetch(raw, hasPolicy); err != nil {
				return badOption(d.request, err.Error(), nil)
			}
		}
		return nil
	}
	return restyClient{rc, transport, nil}
}

// attachToResty makes the request that resty has built the dispatch's: with its body, and with its
// header as the hooks left it.
func (d *dispatch) attachToResty(raw *http.Request, spelling map[string]string) error {
	// resty holds each body in memory by now, an empty one too, so that one byte tells them apart.
	if raw.Body != nil {
		if n, _ := raw.Body.Read(make([]byte, 1)); n > 0 {
			message := "a hook of resty's set a body, which is for a request handler to do"
			return badOption(d.request, message, nil)
		}
	}
	restoreHeader(d, raw.Header)

	// A hook may have changed the URL. The credentials of the chains do not go to another place
	// than theirs.
	if destinationOf(raw) != d.request.destination(d.url) {
		for name, list := range d.header {
			if d.request.isCredential(name) {
				raw.Header = without(raw.Header, binding{name: name, values: list})
			}
		}
	}

	for key, name := range spelling {
		if list, found := raw.Header[key]; found {
			delete(raw.Header, key)
			raw.Header[name] = list
		}
	}
	return d.attach(raw)
}

// restoreHeader undoes what resty makes of the User-Agent, the Content-Type and the Content-Length
// that a request does not have.
func restoreHeader(d *dispatch, header http.Header) {
	// An empty User-Agent stands for none, and resty would put its own there.
	if agent, found := d.request.Header["User-Agent"]; found {
		header["User-Agent"] = agent
	}
	if _, found := d.request.Header[contentTypeHeader]; !found && d.payload.open == nil {
		delete(header, contentTypeHeader)
	}

	// With SetContentLength resty counts the body that it knows of, which is none.
	if _, found := d.header["Content-Length"]; !found {
		delete(header, "Content-Length")
	}
}

func (e *restyEngine) transport() http.RoundTripper { return e.made().beneath }

func (e *restyEngine) send(d *dispatch) (*http.Response, error) {
	rc := e.made()
	if rc.err != nil {
		return nil, badOption(d.request, rc.err.Error(), nil)
	}

	received := &restyBody{isStream: d.request.stream}
	r := rc.R().SetContext(context.WithValue(d, restyBodyKey{}, received))
	r.Header = d.header
	r.SetDoNotParseResponse(received.isStream)
	if limit := d.request.settings().responseLimit; limit > 0 {
		r.SetResponseBodyLimit(int(min(limit, math.MaxInt)))
	}

	response, err := r.Execute(d.request.method(), d.url.String())
	if response == nil || response.RawResponse == nil {
		if err == nil {
			err = errors.New("resty returned no response")
		}
		return nil, err
	}

	raw := response.RawResponse
	cookies.PendingOf(d.Context).Unmark(raw.Header)
	switch {
	case received.failed != nil, errors.Is(err, resty.ErrResponseBodyTooLarge):
		// axle reads the same once more and finds the same fault, for which it has an error of its
		// own.
		raw.Body = received.again()
	case err != nil:
		closeBody(raw)
		return nil, err
	case received.isLeftUnread(raw):
		received.restoreEncoding(raw)
	case !received.isStream:
		received.giveBack(raw, response.Body())
	}
	return raw, nil
}

func closeBody(raw *http.Response) {
	if raw.Body != nil {
		_ = raw.Body.Close()
	}
}

// restyTransport is the transport of the http.Client beneath resty. It prepares each response for
// resty to read.
type restyTransport struct {
	cookies.Transport
	plain cookies.Transport // without what a hook of resty's has put around it
}

// RoundTrip implements http.RoundTripper.
func (t *restyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	d, _ := r.Context().Value(dispatchKey{}).(*dispatch)

	// resty's digest authentication would answer the challenge of any server that a redirect leads
	// to.
	transport := &t.Transport
	if d != nil && r.Response != nil && destinationOf(r) != d.request.destination(d.url) {
		transport = &t.plain
	}
	raw, err := transport.RoundTrip(r)
	if err != nil {
		return raw, err
	}
	received, _ := r.Context().Value(restyBodyKey{}).(*restyBody)
	if d != nil && received != nil && !received.isStream && raw != nil && raw.Body != nil {
		received.takeOver(raw, d)
	}
	return raw, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (t *restyTransport) CloseIdleConnections() {
	type closer interface{ CloseIdleConnections() }
	if inner, ok := t.RoundTripper.(closer); ok {
		inner.CloseIdleConnections()
	}
}

// restyBody stands between a response's body and resty, which reads the body for its hooks and its
// debug log. axle gets from resty what it has read. If the reading fails, resty forgets what came
// before, and axle does not: restyBody keeps it.
type restyBody struct {
	io.ReadCloser
	isStream bool // resty leaves the body unread

	read     bytes.Buffer
	closed   bool          // resty is done with the body
	failed   error         // what the reading has ended with, except for io.EOF
	upgraded io.ReadCloser // the connection of a 101, which resty must not read
	encoding []string      // the Content-Encoding, which resty must not see
}

type restyBodyKey struct{}

// takeOver makes resty read the body through b. It is called for each response, that of a redirect
// too.
func (b *restyBody) takeOver(raw *http.Response, d *dispatch) {
	b.read.Reset()
	b.closed, b.failed, b.upgraded, b.encoding = false, nil, nil, nil
	if raw.StatusCode == http.StatusSwitchingProtocols {
		b.upgraded, raw.Body = raw.Body, http.NoBody
		return
	}

	// resty reads the body while it sends.
	d.boundFetchedBody(raw)

	// resty decodes gzip by a rule of its own, which fails for a range, for several encodings, and
	// for the response to a HEAD.
	b.ReadCloser, raw.Body = decompress(d.request, raw), b
	b.encoding = raw.Header["Content-Encoding"]
	delete(raw.Header, "Content-Encoding")
}

// Read implements io.Reader.
func (b *restyBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	if err != nil && err != io.EOF {
		b.failed = err
	}
	return n, err
}

// Close implements io.Closer.
func (b *restyBody) Close() error {
	b.closed = true
	return b.ReadCloser.Close()
}

// isLeftUnread reports whether resty did not read the body, as a hook may tell it to
// (SetDoNotParseResponse).
func (b *restyBody) isLeftUnread(raw *http.Response) bool {
	return raw.Body == io.ReadCloser(b) && !b.closed
}

func (b *restyBody) restoreEncoding(raw *http.Response) {
	if b.encoding != nil {
		raw.Header["Content-Encoding"] = b.encoding
	}
}

// giveBack puts the body on the response that resty has read from there. A hook may have put
// another body in its place.
func (b *restyBody) giveBack(raw *http.Response, body []byte) {
	b.restoreEncoding(raw)
	if b.upgraded != nil {
		raw.Body = b.upgraded
		return
	}
	if !bytes.Equal(body, b.read.Bytes()) {
		raw.ContentLength = -1
	}
	raw.Body = io.NopCloser(bytes.NewReader(body))
}

// again returns what was read of a body, and the error that the reading ended with.
func (b *restyBody) again() io.ReadCloser {
	return io.NopCloser(io.MultiReader(&b.read, failingReader{b.failed}))
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) {
	if r.err == nil {
		return 0, io.EOF
	}
	return 0, r.err
}
