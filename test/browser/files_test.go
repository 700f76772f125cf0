//go:build js

package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"syscall/js"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
)

// The functions below are those of docs/browser.md.

func readFile(file js.Value) ([]byte, error) {
	type result struct {
		content []byte
		err     error
	}
	results := make(chan result, 1)

	loaded := js.FuncOf(func(_ js.Value, args []js.Value) any {
		array := js.Global().Get("Uint8Array").New(args[0])
		content := make([]byte, array.Length())
		js.CopyBytesToGo(content, array)
		results <- result{content, nil}
		return nil
	})
	defer loaded.Release()
	failed := js.FuncOf(func(_ js.Value, args []js.Value) any {
		results <- result{nil, js.Error{Value: args[0]}}
		return nil
	})
	defer failed.Release()

	file.Call("arrayBuffer").Call("then", loaded, failed)
	r := <-results
	return r.content, r.err
}

func upload(ctx context.Context, client *axle.Client, path string, file js.Value) (*axle.Response, error) {
	content, err := readFile(file)
	if err != nil {
		return nil, err
	}
	mediaType, name := file.Get("type").String(), file.Get("name").String()
	form := axle.NewMultipart().FileOf(mediaType, "file", name, bytes.NewReader(content))
	return client.Post(ctx, path, form)
}

func save(name string, content []byte) {
	array := js.Global().Get("Uint8Array").New(len(content))
	js.CopyBytesToJS(array, content)
	blob := js.Global().Get("Blob").New([]any{array})
	url := js.Global().Get("URL").Call("createObjectURL", blob)
	defer js.Global().Get("URL").Call("revokeObjectURL", url)

	link := js.Global().Get("document").Call("createElement", "a")
	link.Set("href", url)
	link.Set("download", name)
	link.Call("click")
}

// newFile is a file as the user picks it in an <input type="file">.
func newFile(content, name, mediaType string) js.Value {
	return js.Global().Get("File").New([]any{content}, name, map[string]any{"type": mediaType})
}

func TestFiles_AFileThatTheUserPicksIsUploadedWithItsNameAndType(t *testing.T) {
	for _, mediaType := range []string{"image/png", ""} {
		client := axle.New().SetBaseURL(pageOrigin(t))
		resp, err := upload(t.Context(), client, "/api/echo/file-picked", newFile("the content", "cat.png", mediaType))
		require.NoError(t, err)

		var got received
		require.NoError(t, resp.Decode(&got))
		assert.Equal(t, http.MethodPost, got.Method)
		assert.Contains(t, got.Body, `name="file"; filename="cat.png"`)
		assert.Contains(t, got.Body, "\r\n\r\nthe content\r\n")
		assert.Equal(t, mediaType != "", bytes.Contains([]byte(got.Body), []byte("Content-Type: image/png\r\n")))
	}
}

func TestFiles_AFileThatCannotBeReadIsAnError(t *testing.T) {
	file := newFile("x", "gone.txt", "")
	file.Set("arrayBuffer", js.Global().Get("Function").New("return Promise.reject(new Error('it was removed'))"))
	_, err := readFile(file)
	require.ErrorContains(t, err, "it was removed")
}

func TestFiles_ABodyIsGivenToTheUserAsADownload(t *testing.T) {
	resp, err := axle.New().SetBaseURL(pageOrigin(t)).Get(t.Context(), "/api/echo/file-download")
	require.NoError(t, err)

	// The link is clicked in the end. The test reads what the link names, and downloads nothing.
	clicked := make(chan js.Value, 1)
	prototype := js.Global().Get("HTMLAnchorElement").Get("prototype")
	original := prototype.Get("click")
	click := js.FuncOf(func(link js.Value, _ []js.Value) any {
		clicked <- js.Global().Call("fetch", link.Get("href"))
		assert.Equal(t, "answer.json", link.Get("download").String())
		return nil
	})
	prototype.Set("click", click)
	defer func() {
		prototype.Set("click", original)
		click.Release()
	}()

	save("answer.json", resp.Bytes())
	saved, err := readFile(awaitPromise(<-clicked))
	require.NoError(t, err)
	assert.Equal(t, resp.String(), string(saved))
}

func TestFiles_AValueOfJavaScriptIsRefusedWhereGoWouldLeaveItOut(t *testing.T) {
	type form struct {
		Title string
		File  any
	}
	type embedded struct{ *form }
	file := newFile("the content", "cat.png", "image/png")
	function := js.FuncOf(func(js.Value, []js.Value) any { return nil })
	defer function.Release()

	for name, body := range map[string]any{
		"alone":       file,
		"a pointer":   &file,
		"a function":  function,
		"in a map":    map[string]any{"title": "a cat", "file": file},
		"in a struct": form{"a cat", file},
		"embedded":    embedded{&form{"a cat", &file}},
		"in a list":   map[string]any{"files": []js.Value{file}},
	} {
		t.Run(name, func(t *testing.T) {
			for way, edit := range map[string]func(*axle.Request){
				"JSON":        func(r *axle.Request) { r.SetBody(body) },
				"XML":         func(r *axle.Request) { r.SetBody(body).SetHeader("Content-Type", "application/xml") },
				"a form":      func(r *axle.Request) { r.SetForm(body) },
				"a Multipart": func(r *axle.Request) { r.SetBody(axle.NewMultipart().Fields(body)) },
				"a header":    func(r *axle.Request) { r.SetBody(body).SetHeader("Content-Type", "multipart/form-data") },
				"parameters":  func(r *axle.Request) { r.SetParams(body) },
			} {
				_, err := axle.New().SetBaseURL(pageOrigin(t)).Post(t.Context(), "/api/echo/file-script", nil, edit)
				refused(t, err, "file-script", "a value of JavaScript is in it")
				require.ErrorContains(t, err, "js.CopyBytesToGo", way)
			}
		})
	}
}

type ownJSON struct{ file js.Value }

func (o ownJSON) MarshalJSON() ([]byte, error) { return json.Marshal(o.file.Get("name").String()) }

func TestFiles_AValueOfJavaScriptThatIsNotEncodedOrEncodesItselfIsNoFault(t *testing.T) {
	type loop struct{ Next *loop }
	file := newFile("the content", "cat.png", "")
	for want, body := range map[string]any{
		`{"Title":"a"}`: struct {
			Title string
			file  js.Value
		}{"a", file},
		`{"Title":"b"}`: struct {
			Title string
			File  js.Value `json:"-"`
		}{"b", file},
		`{"File":"cat.png"}`:                      map[string]any{"File": ownJSON{file}},
		`{"Next":{"Next":null}}`:                  loop{&loop{}},
		`{"At":"0001-01-01T00:00:00Z","No":null}`: map[string]any{"At": time.Time{}, "No": nil},
	} {
		resp, err := axle.New().SetBaseURL(pageOrigin(t)).Post(t.Context(), "/api/echo/file-encoded", body)
		require.NoError(t, err)
		var got received
		require.NoError(t, resp.Decode(&got))
		assert.JSONEq(t, want, got.Body)
	}

	around := &loop{}
	around.Next = around
	_, err := axle.New().SetBaseURL(pageOrigin(t)).Post(t.Context(), "/api/echo/file-around", around)
	refused(t, err, "file-around", "cycle")

	// A function for JSON of one's own sees the value.
	stringify := func(v any) ([]byte, error) {
		return []byte(js.Global().Get("JSON").Call("stringify", v).String()), nil
	}
	client := axle.New().SetBaseURL(pageOrigin(t)).SetJSON(stringify, json.Unmarshal)
	got, err := axle.Post[received](t.Context(), client, "/api/echo/file-own", js.ValueOf(map[string]any{"a": 1}))
	require.NoError(t, err)
	assert.JSONEq(t, `{"a":1}`, got.Body)
}
