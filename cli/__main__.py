"""`python -m lumina_next.cli` is `lumina-next`."""

from . import main

raise SystemExit(main())
