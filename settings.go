package axle

import (
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/axlehttp/axle/internal/cookies"
	"github.com/axlehttp/axle/internal/origin"
	"github.com/axlehttp/axle/internal/wire"
)

// This file is the state of a client that its setters change, and that each call takes a snapshot
// of.

// settings is one state of a client; it is never modified.
type settings struct {
	baseURL      string
	base         *wire.Base // nil: none
	baseErr      error      // what is wrong with baseURL
	origin       string     // of base
	pathParams   wire.Params
	timeout      time.Duration
	header       http.Header
	query        url.Values
	transport    http.RoundTripper
	jar          http.CookieJar
	validate     func(status int) bool
	sensitive    map[string]bool // SetSensitiveHeaders', in canonical form
	methodHeader map[string]http.Header
	xsrfCookie   string
	xsrfHeader   string // in canonical form
	pathsOnly    bool   // absolute URLs are refused
	maxRedirects int
	redirect     redirectCheck // nil: none

	limitsRedirects bool // maxRedirects was set, and is not the default
	withCredentials bool // fetch's option credentials is "include"

	responseLimit int64
	requestLimit  int64
	encodeQuery   QueryEncoder // nil: QueryRepeat
	marshal       func(v any) ([]byte, error)
	unmarshal     func(data []byte, v any) error
	codecs        map[string]codec // by media type, in lower case; JSON's is marshal and unmarshal
	codecErr      error            // what is wrong with the media type that SetCodec was given
	decompressors []decompressor   // SetDecompressor's
	encodings     []string         // the Accept-Encoding with decompressors
	decompressErr error            // what is wrong with the encoding that SetDecompressor was given
	form          formDefaults
	keyDefaults   values
	resty         engineSource // nil: the engine is net/http's
	restyErr      error        // what is wrong with the client that FromResty was given
	mapError      func(*Error) error
	needsBase     string // a credential of FromResty's, which has no place without a base URL
	engine        engine
}

func isSuccess(status int) bool { return status >= 200 && status <= 299 }

// update publishes changed settings. The function change gets a copy of the settings, whose maps it
// must replace and must not write to. If change sets the engine to nil, update makes a new one.
func (c *Client) update(change func(*settings)) *Client {
	c.mu.Lock()
	s := *c.settings.Load()
	change(&s)
	rebuilt := s.engine == nil
	if rebuilt {
		s.engine = newEngine(&s)
	}
	c.settings.Store(&s)
	c.mu.Unlock()

	// This runs the function of SetEngine, which is the user's code, and therefore not under the
	// lock.
	if rebuilt {
		_ = s.engine.transport()
	}
	return c
}

// SetBaseURL sets the URL that paths are joined to, as "https://api.example.com/v1"; empty: none. A
// query in it is sent with every request. One that is malformed, or neither http nor https, fails
// the calls with CodeInvalidURL.
//
// It may have placeholders, as in "https://{tenant}.example.com/v1": see [Client.SetPathParam].
func (c *Client) SetBaseURL(url string) *Client {
	return c.update(func(s *settings) { s.setBase(url, s.pathParams) })
}

// setBase parses the base URL, with these defaults for its placeholders.
func (s *settings) setBase(raw string, defaults wire.Params) {
	s.baseURL, s.pathParams, s.origin = raw, defaults, ""
	s.base, s.baseErr = wire.ParseBase(raw, defaults)
	if s.base != nil {
		s.origin = origin.Of(&s.base.URL)
	}
}

// SetPathParam sets the value of {name} for each request that does not set its own, in the base URL
// too. See [Request.SetPathParam] for the escaping and for what is refused.
//
// A placeholder in the host of the base URL takes this value alone, never a request's: the host
// decides where the client's credentials go. Its value may have letters, digits, "-" and "_".
// Without one each call fails with CodeBadOption.
func (c *Client) SetPathParam(name, value string) *Client {
	return c.update(func(s *settings) {
		s.setBase(s.baseURL, s.pathParams.With(name, wire.Param{Text: value}))
	})
}

// BaseURL returns the base URL as it was set.
func (c *Client) BaseURL() string { return c.settings.Load().baseURL }

// SetTimeout bounds each dispatch: to the end of the body, or, of a streamed response, to its
// headers. A replay is a dispatch of its own. Zero, the default, is none; a negative one fails the
// calls.
func (c *Client) SetTimeout(d time.Duration) *Client {
	return c.update(func(s *settings) { s.timeout = d })
}

// SetHeader sets a default header. One that is sensitive (see [Client.SetSensitiveHeaders]) is sent
// to the base URL's origin alone: without a base URL, nowhere.
func (c *Client) SetHeader(name, value string) *Client {
	return c.update(func(s *settings) {
		if s.header = maps.Clone(s.header); s.header == nil {
			s.header = http.Header{}
		}
		s.header.Set(name, value)
	})
}

// SetMethodHeader sets a default header for the requests of one method (axios's
// defaults.headers.post). For these requests it replaces a default of the same name from
// [Client.SetHeader].
func (c *Client) SetMethodHeader(method, name, value string) *Client {
	return c.update(func(s *settings) {
		if s.methodHeader = maps.Clone(s.methodHeader); s.methodHeader == nil {
			s.methodHeader = map[string]http.Header{}
		}
		method := strings.ToUpper(method)
		header := s.methodHeader[method].Clone()
		if header == nil {
			header = http.Header{}
		}
		header.Set(name, value)
		s.methodHeader[method] = header
	})
}

// SetQueryParam sets a default query parameter. If a request has a parameter of that name, in its
// URL or its Query, the default is not sent with it. A default that is a secret by its name, as
// api_key is, goes to the base URL's origin alone: without a base URL, nowhere.
func (c *Client) SetQueryParam(name, value string) *Client {
	return c.update(func(s *settings) {
		if s.query = maps.Clone(s.query); s.query == nil {
			s.query = url.Values{}
		}
		s.query.Set(name, value)
	})
}

// SetTransport sets what sends the requests; nil: the default. It is the place for proxies, TLS,
// sockets and HTTP/2, and the seam for tests.
//
// A transport around an [http.Transport] that changes nothing of the body may return that one by a
// method Unwrap() http.RoundTripper. The client then decompresses by itself, as without the wrapper,
// and tells damaged data from a network that fails.
//
// In a browser an [http.Transport] sends by fetch, unless it has a DialContext, and a transport of
// another type is taken to do so in the end. Its Unwrap may say otherwise.
func (c *Client) SetTransport(rt http.RoundTripper) *Client {
	if rt == nil {
		rt = defaultTransport()
	}
	return c.update(func(s *settings) { s.transport, s.engine = rt, nil })
}

// SetCookieJar sets the cookie jar; nil: cookies are not kept. In a browser no jar is consulted: the
// browser keeps the cookies, see [Client.SetWithCredentials]. There a jar is for a transport of one's
// own, and the jar of [New] sends each cookie to the host alone that has set it.
func (c *Client) SetCookieJar(jar http.CookieJar) *Client {
	return c.update(func(s *settings) { s.jar, s.engine = jar, nil })
}

// SetWithCredentials decides whether a browser sends its cookies to other origins than the page's, and
// keeps those that other origins set (axios's withCredentials). The option is fetch's credentials:
// "include". A request with the header entry js.fetch:credentials has that instead. The default is
// false: cookies to and from the page's own origin alone. Outside a browser it does nothing, and the
// jar decides.
func (c *Client) SetWithCredentials(on bool) *Client {
	return c.update(func(s *settings) { s.withCredentials = on })
}

// ClearCookies empties the jar that [New] made, for everybody who shares it: this client, its
// clones, and each [Client.HTTPClient], also one that was given away before. A jar that
// [Client.SetCookieJar] or [Client.SetEngine] set is the user's to empty, and is left as it is,
// unless it is the jar of another client that New made. A good place to call it is
// store.WithLogout's function.
func (c *Client) ClearCookies() {
	if jar, ok := cookies.Unrouted(c.settings.Load().jar).(*cookies.Jar); ok {
		jar.Clear()
	}
}

// SetValidateStatus decides which statuses fulfil a request; every other is an error. Nil: every
// status fulfils.
func (c *Client) SetValidateStatus(ok func(status int) bool) *Client {
	return c.update(func(s *settings) { s.validate = ok })
}

// SetSensitiveHeaders names further headers that carry credentials. The names replace those of an
// earlier call. Headers whose names say that they hold a secret, such as Authorization, Cookie and
// X-Api-Key, are always sensitive and need not be named. A sensitive header never crosses an origin
// and is redacted in logs.
//
// A browser follows redirects by itself, and takes all headers but Authorization along. There a
// request with a sensitive header, or with one that [Request.BindHeader] has bound, follows no
// redirect: one fails with CodeNetwork, and the error names the header.
func (c *Client) SetSensitiveHeaders(names ...string) *Client {
	sensitive := make(map[string]bool, len(names))
	for _, name := range names {
		sensitive[textproto.CanonicalMIMEHeaderKey(name)] = true
	}
	return c.update(func(s *settings) { s.sensitive = sensitive })
}

// IsSensitiveHeader reports whether the client treats a header of this name as a credential.
func (c *Client) IsSensitiveHeader(name string) bool { return c.settings.Load().isSensitive(name) }

// SetResponseLimit bounds the bodies of responses, in bytes after decompression; more fails with
// CodeTooLarge. Zero, the default, is none; a negative one fails the calls.
func (c *Client) SetResponseLimit(bytes int64) *Client {
	return c.update(func(s *settings) { s.responseLimit = bytes })
}

// SetRequestLimit bounds the bodies of requests, in bytes; more fails with CodeTooLarge: before
// anything is sent where the length is known, else when it is reached (axios's maxBodyLength).
// Zero, the default, is none; a negative one fails the calls.
func (c *Client) SetRequestLimit(bytes int64) *Client {
	return c.update(func(s *settings) { s.requestLimit = bytes })
}

// SetMaxRedirects bounds how many redirects one dispatch follows; one more fails with
// CodeTooManyRedirects. The default is [MaxRedirects]. With zero none is followed: a 3xx is the
// response, and ValidateStatus judges it. A negative one fails the calls.
//
// A browser follows up to 20 redirects by itself, and cannot be told another number: there each call
// of a client with a limit of its own fails with CodeBadOption before anything is sent, unless the
// request has the header entry js.fetch:redirect with "error" or "manual", by which no redirect is
// followed.
func (c *Client) SetMaxRedirects(n int) *Client {
	return c.update(func(s *settings) { s.maxRedirects, s.limitsRedirects = n, true })
}

// SetRedirectCheck sets a function that is asked before each redirect is followed, as
// [http.Client.CheckRedirect] is (axios's beforeRedirect). A request with a check of its own
// ([Request.SetRedirectCheck]) has that instead. The default, also for nil, is none.
//
// The function may refuse: an error of it fails the call, as the cause of the call's error, which has
// CodeInterceptor unless the error is an [*Error] with a code of its own. With
// [http.ErrUseLastResponse] the redirect itself is the response, and ValidateStatus judges it. It
// may also change req, the request that is about to be sent. axle's own rules hold beside it: the
// limit of [Client.SetMaxRedirects], http and https alone, and no credential to another origin. So
// req has lost its credentials already if it leaves its origin, and loses those that the function
// adds. The requests in via are not to be changed. Many goroutines may call the function at once.
//
// A redirect policy of a resty client is asked before it. Behind [Client.HTTPClient] it is not
// asked, since the http.Client follows redirects there: set that client's CheckRedirect.
//
// A browser asks nobody: there each call with a check fails with CodeBadOption before anything is
// sent, unless the request has the header entry js.fetch:redirect with "error" or "manual", by which
// no redirect is followed.
func (c *Client) SetRedirectCheck(check func(req *http.Request, via []*http.Request) error) *Client {
	return c.update(func(s *settings) { s.redirect = check })
}

// SetAllowAbsoluteURLs decides whether a request may have an absolute URL; the default is true. If
// allow is false, a request with an absolute URL fails with CodeInvalidURL. Use this for a client
// whose paths come from an untrusted source.
func (c *Client) SetAllowAbsoluteURLs(allow bool) *Client {
	return c.update(func(s *settings) { s.pathsOnly = !allow })
}

// SetXSRF sends the value of a cookie in a header too, to the base URL's origin alone (axios:
// "XSRF-TOKEN" and "X-XSRF-TOKEN"). The percent-encoding of the value is undone, as axios does. A
// request that sets the header itself keeps it. The default, also for two empty names, is off.
//
// In a browser the cookie is that of the page (document.cookie), if the page is of the base URL's
// origin. A page of another origin, a worker, and a cookie that is HttpOnly have none.
func (c *Client) SetXSRF(cookie, header string) *Client {
	return c.update(func(s *settings) {
		s.xsrfCookie, s.xsrfHeader = cookie, textproto.CanonicalMIMEHeaderKey(header)
	})
}

// SetQueryEncoder decides how [Request.SetParams] and [Request.SetForm] write lists and objects;
// nil: [QueryRepeat]. A request may have its own: [Request.SetQueryEncoder].
func (c *Client) SetQueryEncoder(encode QueryEncoder) *Client {
	return c.update(func(s *settings) { s.encodeQuery = encode })
}

// SetJSON sets the JSON codec of bodies and of [Response.Decode]; a nil function is
// encoding/json's. Both are called by many goroutines at once. For other media types there is
// [Client.SetCodec].
func (c *Client) SetJSON(
	marshal func(v any) ([]byte, error), unmarshal func(data []byte, v any) error,
) *Client {
	return c.update(func(s *settings) { s.marshal, s.unmarshal = marshal, unmarshal })
}

// SetInterceptorOrder sets the order of the request chain: LIFO, as in axios, or FIFO. [Before] and
// [After] mean the running order in both.
func (c *Client) SetInterceptorOrder(o Order) *Client {
	c.Interceptors.Request.setOrder(o)
	return c
}

// check returns the error of a setting with which no request can be sent.
func (s *settings) check() error {
	switch {
	case s.timeout < 0:
		return fmt.Errorf("the client's timeout is negative: %v", s.timeout)
	case s.responseLimit < 0:
		return fmt.Errorf("the client's response limit is negative: %d", s.responseLimit)
	case s.requestLimit < 0:
		return fmt.Errorf("the client's request limit is negative: %d", s.requestLimit)
	case s.maxRedirects < 0:
		return fmt.Errorf("the client's limit on redirects is negative: %d", s.maxRedirects)

	// A setter that was given bad input has kept the error.
	case s.codecErr != nil:
		return s.codecErr
	case s.decompressErr != nil:
		return s.decompressErr
	case s.restyErr != nil:
		return s.restyErr

	// A setting may need another one, which is missing.
	case s.needsBase != "" && s.baseURL == "":
		return fmt.Errorf("the resty client has %s and no base URL, whose origin alone may have it: "+
			"SetBaseURL sets one", s.needsBase)
	case (s.xsrfCookie == "") != (s.xsrfHeader == ""):
		return fmt.Errorf("SetXSRF needs the cookie's name and the header's: %q, %q",
			s.xsrfCookie, s.xsrfHeader)
	}
	return nil
}
