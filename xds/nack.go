package xds

import (
	"fmt"
	"strings"
)

// rejection is why one resource was not taken.
type rejection struct {
	name   string // "": it could not even be named
	reason string
}

// maxDetails bounds a NACK: a control plane takes 4 MiB at most, and a stream that it ends for that would
// never come to anything.
const maxDetails = 64 << 10

// details is the NACK's text, as Envoy words it for the type: names and reasons for listeners and
// clusters, the bare reason else.
func details(url string, rejected []rejection) string {
	var bare, named []string
	for _, r := range rejected {
		switch {
		case r.name == "" || url != ListenerURL && url != ClusterURL:
			bare = append(bare, r.reason)
		case url == ListenerURL:
			named = append(named, fmt.Sprintf("%s: %s\n", r.name, r.reason))
		default:
			named = append(named, r.name+": "+r.reason)
		}
	}
	text := strings.Join(bare, "\n")
	if len(named) > 0 {
		if text != "" {
			text += "\n"
		}
		if url == ListenerURL {
			text += "Error adding/updating listener(s) " + strings.Join(named, "")
		} else {
			text += "Error adding/updating cluster(s) " + strings.Join(named, ", ")
		}
	}
	if len(text) > maxDetails {
		text = strings.ToValidUTF8(text[:maxDetails], "") + fmt.Sprintf("… (%d resources were rejected)", len(rejected))
	}
	return text
}

// duplicate is the reason why a name may not come twice in one response; empty: the first counts, and
// Envoy says nothing.
func duplicate(url, name string) string {
	switch url {
	case ListenerURL:
		return fmt.Sprintf("duplicate listener %s found", name)
	case ClusterURL:
		return fmt.Sprintf("duplicate cluster %s found", name)
	}
	return ""
}

// duplicates refuses a delta response that names one resource twice: all of it, as Envoy does.
func duplicates(r *Response) string {
	if !r.Delta {
		return ""
	}
	seen := make(map[string]struct{}, len(r.Resources)+len(r.Removed))
	for i := range r.Resources {
		name := r.Resources[i].Name
		if _, is := seen[name]; is {
			return fmt.Sprintf("duplicate name %s found among added/updated resources", name)
		}
		seen[name] = struct{}{}
	}
	for _, name := range r.Removed {
		if _, is := seen[name]; is {
			return fmt.Sprintf("duplicate name %s found in the union of added+removed resources", name)
		}
		seen[name] = struct{}{}
	}
	return ""
}

// short names a type in Envoy's log lines.
func short(url string) (api, kind string) {
	switch url {
	case ListenerURL:
		return "lds", "listener"
	case ClusterURL:
		return "cds", "cluster"
	case EndpointURL:
		return "eds", "cluster"
	case RouteURL:
		return "rds", "route"
	case SecretURL:
		return "sds", "secret"
	case ExtensionURL:
		return "ecds", "extension"
	}
	return "xds", url[strings.LastIndexByte(url, '/')+1:]
}
