package axle

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// formDefaults are the form fields that each request of a client has, as those of resty's
// SetFormData.
type formDefaults struct {
	values url.Values
	onGet  bool // a GET has them too
}

// merge gives r, a copy of the caller's request whose form is its own, the fields that it does not
// have. A request without a body gets a form of them, and a multipart form gets all of them before
// its own. A body that is no form is left as it is.
func (f formDefaults) merge(r *Request) {
	if len(f.values) == 0 || r.pass.inbound.verbatim {
		return
	}
	switch r.method() {
	case http.MethodHead, http.MethodOptions:
		return
	case http.MethodGet:
		if !f.onGet {
			return
		}
	}

	switch body := r.Body.(type) {
	case nil:
		r.Body = cloneValues(f.values)
	case url.Values:
		merged := cloneValues(f.values)
		maps.Copy(merged, body)
		r.Body = merged
	case *Multipart:
		if body == nil {
			return
		}
		merged := Multipart{boundary: body.boundary, bad: body.bad}
		for _, name := range slices.Sorted(maps.Keys(f.values)) {
			for _, value := range f.values[name] {
				merged.Field(name, value)
			}
		}
		merged.parts = append(merged.parts, body.parts...)
		r.Body = &merged
	}
}
