package axle_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

const (
	typeJSON      = "application/json"
	typeForm      = "application/x-www-form-urlencoded"
	typeMultipart = "multipart/form-data"
	typeText      = "text/plain; charset=utf-8"
	typeOctets    = "application/octet-stream"
)

// typedBody is a body that each codec encodes in its own way.
type typedBody struct {
	XMLName xml.Name `json:"-"   xml:"item"`
	A       int      `json:"a"   xml:"a"`
	B       []string `json:"b"   xml:"b"`
}

func newTypedBody() typedBody { return typedBody{A: 1, B: []string{"x", "y"}} }

// readMultipart lists the fields of a multipart body, whose boundary must be its Content-Type's.
func readMultipart(t *testing.T, body sentBody) string {
	t.Helper()
	media, params, err := mime.ParseMediaType(body.contentType)
	require.NoError(t, err, body.contentType)
	assert.True(t, strings.HasPrefix(media, "multipart/"), body.contentType)
	reader := multipart.NewReader(strings.NewReader(body.text), params["boundary"])
	var fields []string
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return strings.Join(fields, "&")
		}
		require.NoError(t, err, "%q", body.text)
		value, err := io.ReadAll(part)
		require.NoError(t, err)
		fields = append(fields, part.FormName()+"="+string(value))
	}
}

func TestBody_AValueIsEncodedAsItsContentTypeSays(t *testing.T) {
	const asJSON, asXML, asForm = `{"a":1,"b":["x","y"]}`, `<item><a>1</a><b>x</b><b>y</b></item>`, "a=1&b=x&b=y"
	asMap := map[string]any{"a": 1, "b": []string{"x", "y"}}
	values := url.Values{"a": {"1"}, "b": {"x", "y"}}
	for _, x := range []struct {
		contentType string
		body        any
		want        string
	}{
		{"", newTypedBody(), asJSON},
		{typeJSON, newTypedBody(), asJSON},
		{"application/json; charset=utf-8", newTypedBody(), asJSON},
		{"Application/JSON", asMap, asJSON},
		{"text/json", asMap, asJSON},
		{"application/vnd.api+json", newTypedBody(), asJSON},
		{"application/merge-patch+json;charset=utf-8", asMap, asJSON},
		{"application/xml", newTypedBody(), asXML},
		{"text/xml; charset=utf-8", newTypedBody(), asXML},
		{"application/soap+xml", newTypedBody(), asXML},
		{typeForm, newTypedBody(), asForm},
		{typeForm, asMap, asForm},
		{"application/x-www-form-urlencoded; charset=UTF-8", asMap, asForm},
		{typeForm, values, asForm},
		{"application/x-www-form-urlencoded;charset=UTF-8", values, asForm},
		{typeJSON, values, `{"a":["1"],"b":["x","y"]}`},
		{"application/vnd.api+json", values, `{"a":["1"],"b":["x","y"]}`},
		{typeForm, map[string]any(nil), ""},
		{typeJSON, 7, "7"},
		// Text, bytes and streams are what they are.
		{typeForm, "a b", "a b"},
		{typeJSON, []byte("{"), "{"},
		{"application/xml", strings.NewReader("x"), "x"},
		{"own/x", "x", "x"},
		{"own/x", opaque("x"), "x"},
	} {
		t.Run(fmt.Sprintf("%s of %T", x.contentType, x.body), func(t *testing.T) {
			c, got := newBodyServer(t)
			for setBy, set := range map[string]func(r *axle.Request){
				"the caller": func(r *axle.Request) { r.SetBody(x.body).SetHeader("content-type", x.contentType) },
				"a handler": func(r *axle.Request) {
					lateKey.Set(r, func(r *axle.Request) { r.SetBody(x.body).SetHeader("content-type", x.contentType) })
				},
			} {
				if x.contentType == "" {
					set = func(r *axle.Request) { r.SetBody(x.body) }
				}
				d := c.Clone()
				useRequest(d, func(r *axle.Request) {
					if late, ok := lateKey.Get(r); ok {
						late(r)
					}
				})
				_, err := d.R(t.Context()).With(set).Post("/")
				require.NoError(t, err, setBy)
				assert.Equal(t, x.want, got().text, setBy)
				want := x.contentType
				if want == "" {
					want = typeJSON
				}
				assert.Equal(t, want, got().contentType, setBy)
				switch body := x.body.(type) {
				case io.Seeker:
					_, _ = body.Seek(0, io.SeekStart)
				case io.Reader:
					return // it can be read once
				}
			}
		})
	}
}

// lateKey carries what a handler does to its request.
var lateKey = axle.NewKey[func(*axle.Request)]("late")

func TestBody_AFormOfAValueIsEncodedByTheClientsQueryEncoder(t *testing.T) {
	c, got := newBodyServer(t)
	c.SetQueryEncoder(axle.QueryBrackets)
	_, err := c.R(t.Context()).SetBody(newTypedBody()).SetHeader("Content-Type", typeForm).Post("/")
	require.NoError(t, err)
	assert.Equal(t, "a=1&b%5B%5D=x&b%5B%5D=y", got().text)
}

func TestBody_AMultipartFormHasItsBoundaryWhateverTheHeaderSays(t *testing.T) {
	for _, header := range []string{
		"", typeMultipart, "Multipart/Form-Data; charset=utf-8", "multipart/form-data; boundary=another", "multipart/form-data; boundary=",
		"multipart/form-data; charset", "multipart/related; type=\"text/xml\"", typeJSON, "not a type;;",
	} {
		for kind, body := range map[string]func() any{
			"a Multipart": func() any { return axle.NewMultipart().Field("a", "1").Fields(map[string]any{"b": []string{"x", "y"}}) },
			"a Multipart of streams": func() any {
				return axle.NewMultipart().Field("a", "1").FileOf("", "b", "", opaque("x")).Field("b", "y")
			},
			"a map under a multipart type": func() any { return map[string]any{"a": 1, "b": []string{"x", "y"}} },
			"a struct under such a type":   func() any { return newTypedBody() },
			"a form under such a type":     func() any { return url.Values{"a": {"1"}, "b": {"x", "y"}} },
		} {
			if _, ok := body().(*axle.Multipart); !ok && !strings.HasPrefix(strings.ToLower(header), typeMultipart) {
				continue
			}
			for _, where := range []string{"request", "client", "handler"} {
				c, got := newBodyServer(t)
				r := c.R(t.Context()).SetBody(body())
				switch {
				case header == "":
				case where == "request":
					r.SetHeader("Content-Type", header)
				case where == "client":
					if _, ok := body().(url.Values); ok {
						continue // a form carries its own type
					}
					c.SetHeader("Content-Type", header)
				default:
					useRequest(c, func(r *axle.Request) { r.SetHeader("Content-Type", header) })
				}
				resp, err := r.Post("/")
				require.NoError(t, err, "%s, %q by the %s", kind, header, where)
				assert.Equal(t, "a=1&b=x&b=y", readMultipart(t, got()), "%s, %q by the %s", kind, header, where)
				if told := resp.Request.Header.Get("Content-Type"); told != "" {
					assert.Equal(t, got().contentType, told, "the request tells what was sent")
				}
			}
		}
	}
	c, got := newBodyServer(t)
	_, err := c.R(t.Context()).SetBody(axle.NewMultipart().Field("a", "1")).
		SetHeader("Content-Type", `multipart/related; type="text/xml"; boundary=x`).Post("/")
	require.NoError(t, err)
	media, params, err := mime.ParseMediaType(got().contentType)
	require.NoError(t, err)
	assert.Equal(t, "multipart/related", media)
	assert.Equal(t, "text/xml", params["type"], "other parameters stay")
}

func TestBody_ATypeWithoutACodecIsRefusedOverAValueAndNothingIsSent(t *testing.T) {
	for _, contentType := range []string{"text/plain", "application/cbor", "application/senml+cbor", "multipart/mixed", "own/x", "json", "*/*"} {
		for _, body := range []any{map[string]int{"a": 1}, newTypedBody(), []int{1}, 7, url.Values{"a": {"1"}}} {
			c, network := newFakeClient(always(200, ""))
			r := c.R(t.Context()).SetBody(body).SetHeader("Content-Type", contentType)
			_, err := r.Post("/")
			assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, "%T as %s", body, contentType)
			require.ErrorContains(t, err, contentType)
			require.ErrorContains(t, err, "SetCodec")
			_, _, err = r.EncodedBody()
			require.ErrorIs(t, err, axle.CodeBadOption)
			assert.Zero(t, network.Sent.Load())
		}
	}
}

func TestBody_AValueThatItsTypesCodecRefusesIsRefusedAndNothingIsSent(t *testing.T) {
	for contentType, body := range map[string]any{
		"application/xml": map[string]int{"a": 1}, "application/x+xml": make(chan int), typeForm: []int{1}, typeMultipart: 7,
		typeJSON: make(chan int),
	} {
		c, network := newFakeClient(always(200, ""))
		_, err := c.R(t.Context()).SetBody(body).SetHeader("Content-Type", contentType).Post("/")
		e := asAxle(t, err)
		assert.Equal(t, axle.CodeBadOption, e.Code, contentType)
		require.Error(t, e.Err, contentType)
		assert.Zero(t, network.Sent.Load())
	}
}

func TestBody_AClientsDefaultContentTypeLabelsOnlyBodiesWithoutATypeOfTheirOwn(t *testing.T) {
	for _, x := range []struct {
		fallback string
		body     any
		want     sentBody
	}{
		{typeJSON, url.Values{"a": {"1"}}, sentBody{"a=1", typeForm, 3}},
		{typeMultipart, url.Values{"a": {"1"}}, sentBody{"a=1", typeForm, 3}},
		{"own/x", url.Values{"a": {"1"}}, sentBody{"a=1", typeForm, 3}},
		{typeForm, map[string]int{"a": 1}, sentBody{"a=1", typeForm, 3}},
		{"application/vnd.api+json", map[string]int{"a": 1}, sentBody{`{"a":1}`, "application/vnd.api+json", 7}},
		{"own/x", "text", sentBody{"text", "own/x", 4}},
		{"own/x", []byte("b"), sentBody{"b", "own/x", 1}},
		{"own/x", strings.NewReader("r"), sentBody{"r", "own/x", 1}},
		{typeJSON, nil, sentBody{"", "", 0}},
		{typeJSON, []byte(nil), sentBody{"", "", 0}},
		{typeJSON, "", sentBody{"", typeJSON, 0}},
	} {
		for name, set := range map[string]func(*axle.Client){
			"SetHeader":       func(c *axle.Client) { c.SetHeader("Content-Type", x.fallback) },
			"SetMethodHeader": func(c *axle.Client) { c.SetMethodHeader(http.MethodPost, "Content-Type", x.fallback) },
		} {
			c, got := newBodyServer(t)
			set(c)

			// The caller's body, and the one that a handler puts in the place of another.
			for _, handler := range []bool{false, true} {
				d := c.Clone()
				r := d.R(t.Context())
				if handler {
					useRequest(d, func(r *axle.Request) { r.SetBody(x.body) })
				} else {
					r.SetBody(x.body)
				}
				if _, isReader := x.body.(io.Reader); !isReader && !handler {
					r.SetMethod(http.MethodPost)
					body, contentType, err := r.EncodedBody()
					require.NoError(t, err)
					assert.Equal(t, x.want.text, string(body))
					assert.Equal(t, x.want.contentType, contentType, "EncodedBody before the call")
				}
				resp, err := r.Post("/")
				require.NoError(t, err, "%s: %s of %T", name, x.fallback, x.body)
				assert.Equal(t, x.want, got(), "%s: %s of %T", name, x.fallback, x.body)
				if x.want.contentType == "" {
					assert.NotContains(t, resp.Request.Header, "Content-Type")
				}
				if seeker, ok := x.body.(io.Seeker); ok {
					_, _ = seeker.Seek(0, io.SeekStart)
				}
			}
		}
	}
}

func TestBody_EncodedBodyCurlAndAReplayAgreeWithWhatIsSent(t *testing.T) {
	var sent []sentBody
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent = append(sent, sentBody{string(body), r.Header.Get("Content-Type"), r.ContentLength})
		if len(sent)%2 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	var encoded []sentBody
	var lines []string
	note := func(r *axle.Request) {
		body, contentType, err := r.EncodedBody()
		assert.NoError(t, err)
		encoded = append(encoded, sentBody{string(body), contentType, int64(len(body))})
		lines = append(lines, r.Curl())
	}
	useRequest(c, note)
	useFulfilled(c, func(resp *axle.Response) (*axle.Response, error) { note(resp.Request); return resp, nil })
	useRejected(c, func(err *axle.Error) (*axle.Response, error) { note(err.Request); return err.Request.Replay() })

	for _, header := range []string{"", typeForm + ";charset=utf-8", typeMultipart, typeMultipart + "; boundary=x", "text/xml", "text/json", "default"} {
		for _, body := range []any{newTypedBody(), url.Values{"a": {"1"}}} {
			if _, ok := body.(url.Values); ok && header == "text/xml" {
				continue // encoding/xml encodes no map
			}
			sent, encoded, lines = nil, nil, nil
			d := c.Clone()
			r := d.R(t.Context()).SetBody(body)
			if header == "default" {
				d.SetHeader("Content-Type", "application/vnd.api+json")
			} else if header != "" {
				r.SetHeader("Content-Type", header)
			}
			_, err := r.Post("/")
			require.NoError(t, err, "%q over %T", header, body)
			require.Len(t, sent, 2)
			require.Len(t, encoded, 4)
			assert.Equal(t, sent[0], sent[1], "a replay sends the same bytes")
			for i, e := range encoded {
				assert.Equal(t, sent[0], e, "%q over %T", header, body)
				assert.Contains(t, lines[i], "Content-Type: "+sent[0].contentType)
				assert.Equal(t, 1, strings.Count(lines[i], "Content-Type: "))
			}
		}
	}
}

func TestBody_BehindTheBridgeTheHeaderIsTheCallersAlone(t *testing.T) {
	c, got := newBodyServer(t)
	hc := c.HTTPClient()
	for _, contentType := range []string{"", "own/x", "multipart/form-data", typeForm} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.BaseURL(), strings.NewReader("a"))
		require.NoError(t, err)
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		resp, err := hc.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, sentBody{"a", contentType, 1}, got())
	}
}

// SetCodec.

// marshalLines and unmarshalLines are a codec of one's own: a value a line.
func marshalLines(v any) ([]byte, error) {
	list, ok := v.([]string)
	if !ok {
		return nil, errBoom
	}
	return []byte(strings.Join(list, "\n")), nil
}

func unmarshalLines(data []byte, v any) error {
	list, ok := v.(*[]string)
	if !ok {
		return errBoom
	}
	*list = strings.Split(string(data), "\n")
	return nil
}

func TestCodec_EncodesByTheRequestsContentTypeAndDecodesByTheAnswers(t *testing.T) {
	c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		_, _ = io.Copy(w, r.Body)
	})
	c.SetCodec("Text/Lines", marshalLines, unmarshalLines)
	c.SetCodec("application/lines", marshalLines, unmarshalLines)
	for _, contentType := range []string{"text/lines", "TEXT/Lines; charset=utf-8", "application/lines", "application/vnd.own+lines"} {
		got, err := axle.Post[[]string](t.Context(), c, "/", []string{"a", "b"}, func(r *axle.Request) { r.SetHeader("Content-Type", contentType) })
		require.NoError(t, err, contentType)
		assert.Equal(t, []string{"a", "b"}, got)

		_, err = c.R(t.Context()).SetHeader("Content-Type", contentType).SetBody(7).Post("/")
		require.ErrorIs(t, err, axle.CodeBadOption)
		require.ErrorIs(t, err, errBoom)

		resp, err := c.R(t.Context()).SetHeader("Content-Type", contentType).SetBody("as it is").Post("/")
		require.NoError(t, err)
		var wrong int
		err = resp.Decode(&wrong)
		require.ErrorIs(t, err, axle.CodeBadResponse)
		require.ErrorIs(t, err, errBoom)
		require.ErrorContains(t, err, contentType)
		var text string
		require.NoError(t, resp.Decode(&text))
		assert.Equal(t, "as it is", text, "verbatim")
	}
}

func TestCodec_AnExactTypeWinsOverASuffixAndASuffixFollowsItsType(t *testing.T) {
	named := func(name string) func(any) ([]byte, error) {
		return func(any) ([]byte, error) { return []byte(name), nil }
	}
	into := func(name string) func([]byte, any) error {
		return func(_ []byte, v any) error { *v.(*any) = name; return nil } //nolint:forcetypeassert // the test's own
	}
	c, got := newBodyServer(t)
	c.SetCodec("application/vnd.own+json", named("own"), into("own"))
	c.SetCodec("application/json", named("json"), into("json"))
	c.SetCodec("application/xml", named("xml"), into("xml"))
	c.SetCodec("text/xml", named("text"), into("text"))
	c.SetCodec("application/cbor", named("cbor"), into("cbor"))
	c.SetCodec(typeForm, named("form"), into("form"))
	c.SetCodec(typeMultipart, named("multipart"), into("multipart"))
	for media, want := range map[string]string{
		"application/vnd.own+json": "own", "application/vnd.other+json": "json", typeJSON: "json", "text/json": "json",
		"application/xml": "xml", "application/atom+xml": "xml", "text/xml": "text", "application/cbor": "cbor", "x/y+cbor": "cbor",
		typeForm: "form", typeMultipart: "multipart",
	} {
		_, err := c.R(t.Context()).SetHeader("Content-Type", media).SetBody(map[string]int{"a": 1}).Post("/")
		require.NoError(t, err, media)
		assert.Equal(t, want, got().text, media)
		assert.Equal(t, media, got().contentType)

		var v any
		resp := axle.NewResponse(c.R(t.Context()), 200, contentType(media), []byte(`"x"`))
		require.NoError(t, resp.Decode(&v), media)
		assert.Equal(t, want, v, media)
	}
}

func TestCodec_OfJSONIsSetJSON(t *testing.T) {
	c, got := newBodyServer(t)
	c.SetCodec("Application/JSON", func(any) ([]byte, error) { return []byte("mine"), nil }, nil)
	_, err := c.Post(t.Context(), "/", map[string]int{"a": 1})
	require.NoError(t, err)
	assert.Equal(t, sentBody{"mine", typeJSON, 4}, got())

	c.SetJSON(nil, nil)
	_, err = c.Post(t.Context(), "/", map[string]int{"a": 1})
	require.NoError(t, err)
	assert.Equal(t, `{"a":1}`, got().text)
}

func TestCodec_ANilFunctionIsTheBuiltInOneOrNone(t *testing.T) {
	c, got := newBodyServer(t)
	post := func(contentType string) error {
		_, err := c.R(t.Context()).SetHeader("Content-Type", contentType).SetBody(newTypedBody()).Post("/")
		return err
	}
	decode := func(media, body string) (v item, err error) {
		err = axle.NewResponse(c.R(t.Context()), 200, contentType(media), []byte(body)).Decode(&v)
		return v, err
	}

	c.SetCodec("application/xml", nil, func(_ []byte, v any) error { v.(*item).ID = 9; return nil }) //nolint:forcetypeassert // the test's own
	require.NoError(t, post("application/xml"))
	assert.Equal(t, `<item><a>1</a><b>x</b><b>y</b></item>`, got().text)
	v, err := decode("application/xml", "<item/>")
	require.NoError(t, err)
	assert.Equal(t, 9, v.ID)

	c.SetCodec("application/cbor", nil, unmarshalLines)
	require.ErrorIs(t, post("application/cbor"), axle.CodeBadOption)
	c.SetCodec("application/cbor", marshalLines, nil)
	require.ErrorIs(t, post("application/cbor"), errBoom)
	_, err = decode("application/cbor", `{"id":1}`)
	require.NoError(t, err, "without a decoder of its own it is read as JSON, as any other type")

	c.SetCodec("application/xml", nil, nil)
	require.NoError(t, post("text/xml"))
}

func TestCodec_AMediaTypeThatIsNoneFailsTheCalls(t *testing.T) {
	for _, media := range []string{"", "cbor", "application/", "/cbor", "application/cbor; q=1", "application/*", "*/*", "a b/c", " application/cbor", "a/b/c", "a/b\n"} {
		c, network := newFakeClient(always(200, ""))
		c.SetCodec(media, marshalLines, unmarshalLines)
		_, err := c.Get(t.Context(), "/")
		assert.Equal(t, axle.CodeBadOption, asAxle(t, err).Code, "%q", media)
		require.ErrorContains(t, err, "SetCodec")
		assert.Zero(t, network.Sent.Load())
	}
}

func TestCodec_IsASettingLikeAnyOther(t *testing.T) {
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		resp := reply(r, 200, string(body))
		return resp, err
	})
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			c.SetCodec(fmt.Sprintf("own/x%d", i), marshalLines, unmarshalLines)
			_, err := c.R(context.Background()).SetHeader("Content-Type", fmt.Sprintf("own/x%d", i)).SetBody([]string{"a"}).Post("/")
			assert.NoError(t, err)
		})
	}
	wait.Wait()

	// A call in flight keeps the codec that it started with, and a clone is independent.
	d := c.Clone().SetCodec("own/late", marshalLines, nil)
	_, err := c.R(t.Context()).SetHeader("Content-Type", "own/late").SetBody([]string{"a"}).Post("/")
	require.ErrorIs(t, err, axle.CodeBadOption)
	useRequest(d, func(*axle.Request) {
		d.SetCodec("own/late", func(any) ([]byte, error) { return []byte("later"), nil }, nil)
	})
	resp, err := d.R(t.Context()).SetHeader("Content-Type", "own/late").SetBody([]string{"a"}).Post("/")
	require.NoError(t, err)
	assert.Equal(t, "a", resp.String())
}

func TestEncodedBody_HasTheClientsContentType(t *testing.T) {
	c := axle.New().SetHeader("Content-Type", "application/vnd.api+json")
	_, contentType, err := c.R(t.Context()).SetBody(map[string]int{"a": 1}).EncodedBody()
	require.NoError(t, err)
	assert.Equal(t, "application/vnd.api+json", contentType)
	_, contentType, err = c.SetMethodHeader(http.MethodPatch, "Content-Type", "application/merge-patch+json").R(t.Context()).
		SetMethod("patch").SetBody(map[string]int{"a": 1}).EncodedBody()
	require.NoError(t, err)
	assert.Equal(t, "application/merge-patch+json", contentType)
	_, contentType, err = axle.New().R(t.Context()).SetBody([]byte(nil)).EncodedBody()
	require.NoError(t, err)
	assert.Empty(t, contentType, "nothing is sent")
}
