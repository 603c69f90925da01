[% filter indent(4, true) %]
[% include "injection/volumes.tpl" %]
[% include "injection/pull-secrets.tpl" %]
[% endfilter %]
