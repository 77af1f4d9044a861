package account

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Account is the user that a process is to run as.
type Account struct {
	Name, Home string // what HOME, USER and LOGNAME are set to
	Credential *syscall.Credential
}

// Lookup resolves NAME|UID[:GROUP|:GID] here and now, so that an account which a
// base image adds later is found. "" is nil: ProcGuard's own.
func Lookup(spec string) (*Account, error) {
	if spec == "" {
		return nil, nil
	}
	name, group, _ := strings.Cut(spec, ":")
	a := &Account{Name: name, Home: "/", Credential: &syscall.Credential{}}
	if err := a.resolve(name); err != nil {
		return nil, err
	}
	if group != "" {
		gid, err := groupID(group)
		if err != nil {
			return nil, err
		}
		a.Credential.Gid, a.Credential.Groups = gid, nil
	}
	return a, nil
}

// resolve looks a user up by name or number. A number that no account has is
// used as it is, with the group of the same number, as docker does.
func (a *Account) resolve(name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		n, numErr := strconv.ParseUint(name, 10, 32)
		if numErr != nil {
			return fmt.Errorf("user %q is not known here: %w", name, err)
		}
		if u, err = user.LookupId(name); err != nil {
			a.Credential.Uid, a.Credential.Gid = uint32(n), uint32(n)
			return nil
		}
	}
	uid, errU := strconv.ParseUint(u.Uid, 10, 32)
	gid, errG := strconv.ParseUint(u.Gid, 10, 32)
	if errU != nil || errG != nil {
		return fmt.Errorf("user %q has no numeric id", name)
	}
	a.Name, a.Home = u.Username, u.HomeDir
	a.Credential.Uid, a.Credential.Gid = uint32(uid), uint32(gid)
	ids, _ := u.GroupIds() // without /etc/group there are none
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			a.Credential.Groups = append(a.Credential.Groups, uint32(n))
		}
	}
	return nil
}

func groupID(name string) (uint32, error) {
	id := name
	if g, err := user.LookupGroup(name); err == nil {
		id = g.Gid
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("group %q is not known here", name)
	}
	return uint32(n), nil
}
