"""wheel.py FOLDER VERSION: puts a wheel of `acme-tool` into FOLDER, as a build would have made it."""

import base64
import hashlib
import sys
import zipfile

folder, version = sys.argv[1:]
info = f"acme_tool-{version}.dist-info"
files = {
    "acme_tool/__init__.py": f"import sys\ndef main():\n    print('tool {version}', *sys.argv[1:])\n",
    f"{info}/METADATA": f"Metadata-Version: 2.1\nName: acme-tool\nVersion: {version}\n",
    f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{info}/entry_points.txt": "[console_scripts]\nacme-tool = acme_tool:main\n",
}
record = ""
with zipfile.ZipFile(f"{folder}/acme_tool-{version}-py3-none-any.whl", "w") as wheel:
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(text)}\n"
        wheel.writestr(name, text)
    wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
