package notes

import (
	"context"
	"encoding/json"

	"github.com/axlehttp/axle"
)

// envelope unwraps {"data": …}, so that results decode into the types of this package. A success with
// {"error": …} becomes a failure. A stream, such as an attachment, has no envelope and is passed on
// unread.
var envelope = axle.OnResponse("notes: envelope",
	func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		if resp.IsStream() {
			return resp, nil
		}

		var body struct {
			Data  json.RawMessage `json:"data"`
			Error json.RawMessage `json:"error"`
		}
		switch {
		case json.Unmarshal(resp.Bytes(), &body) != nil:
			// A response without an envelope is not from the API. A proxy may have sent it.
			return resp, nil
		case body.Error != nil:
			return nil, &axle.Error{Code: axle.CodeBadResponse, Request: resp.Request, Response: resp}
		}
		return resp.SetBytes(body.Data), nil
	}, nil)
