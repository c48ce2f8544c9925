//! What a file is: the closed list of kinds, and what follows from being one.
//!
//! Detection from content lives in [`detect`]; a name or a declared type never makes a kind, except that scripts which
//! are plain text by content are told apart by their name (a `.bat` may be one word). Knows nothing of rules.

mod containers;
pub mod detect;
mod names;
pub mod text;

pub use detect::detect;
use guarita_message::FileClass;
pub use names::{extension_of, nature_of_extension};

/// What happens when somebody opens it; what mismatches between name and content are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Nature {
    /// Pictures, sound, film: shown or played, nothing runs.
    Media,
    /// Plain data: text, tables, fonts, keys.
    Data,
    /// Office, PDF and e-books: may hold active content, looked for by their inspectors.
    Document,
    /// Mail with attachments.
    Mail,
    /// HTML, SVG: shown by a browser, may run script there.
    Active,
    /// Archives and compressed streams.
    Archive,
    /// Disk images: mounted by a double click, carry executables past the mark of the web.
    DiskImage,
    /// Runs: programs, scripts, shortcuts, installers, extensions.
    Program,
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $variant:ident $mime:literal $class:ident $nature:ident [$($ext:literal)*];)+) => {
        /// The true type of a file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$meta])* $variant),+ }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant),+];

            /// Media type, as reports and the media door show it.
            pub fn mime(self) -> &'static str {
                match self { $(Kind::$variant => $mime),+ }
            }

            /// What policy tells files apart by.
            pub fn class(self) -> FileClass {
                match self { $(Kind::$variant => FileClass::$class),+ }
            }

            pub fn nature(self) -> Nature {
                match self { $(Kind::$variant => Nature::$nature),+ }
            }

            /// Extensions (lower case) under which this content is what its name says; the first is the usual one.
            pub fn extensions(self) -> &'static [&'static str] {
                match self { $(Kind::$variant => &[$($ext),*]),+ }
            }
        }
    };
}

kinds! {
    // Unknown and plain
    Unknown "application/octet-stream" Other Data [];
    Empty "application/x-empty" Other Data [];
    Text "text/plain" Document Data ["txt" "text" "log" "md" "csv" "tsv" "ini" "conf" "cfg" "json" "xml" "yaml" "yml" "srt" "vtt" "asc" "ret" "rem"];
    Csv "text/csv" Document Data ["csv" "tsv" "txt"];
    Json "application/json" Document Data ["json" "txt"];
    Xml "text/xml" Document Data ["xml" "txt" "rels" "xsd" "xsl" "xmp" "gpx" "kml"];
    Vcard "text/vcard" Document Data ["vcf" "vcard"];
    Calendar "text/calendar" Document Data ["ics" "ical"];
    Sqlite "application/vnd.sqlite3" Other Data ["db" "sqlite" "sqlite3"];
    Pcap "application/vnd.tcpdump.pcap" Other Data ["pcap" "pcapng" "cap"];
    Font "font/sfnt" Other Data ["ttf" "otf" "ttc" "woff" "woff2" "eot"];
    Pem "application/x-pem-file" Other Data ["pem" "crt" "cer" "key" "p7s" "asc"];
    Torrent "application/x-bittorrent" Other Data ["torrent"];
    Pickle "application/x-python-pickle" Other Program ["pkl" "pickle" "pt" "pth" "bin" "ckpt"];

    // Pictures
    Jpeg "image/jpeg" Image Media ["jpg" "jpeg" "jpe" "jfif" "mpo"];
    Png "image/png" Image Media ["png" "apng"];
    Gif "image/gif" Image Media ["gif"];
    Webp "image/webp" Image Media ["webp"];
    Bmp "image/bmp" Image Media ["bmp" "dib"];
    Tiff "image/tiff" Image Media ["tif" "tiff" "dng" "nef" "cr2" "arw" "orf"];
    Heic "image/heic" Image Media ["heic" "heif" "hif"];
    Avif "image/avif" Image Media ["avif"];
    Ico "image/vnd.microsoft.icon" Image Media ["ico" "cur"];
    Psd "image/vnd.adobe.photoshop" Image Media ["psd" "psb"];
    Jp2 "image/jp2" Image Media ["jp2" "j2k" "jpx" "jpf"];
    Jxl "image/jxl" Image Media ["jxl"];
    Wmf "image/wmf" Image Media ["wmf" "emf"];
    OtherImage "image/x-other" Image Media ["xcf" "tga" "pcx" "ppm" "pgm" "pbm" "exr" "hdr" "dds" "bpg" "flif" "djvu"];

    // Sound
    Ogg "audio/ogg" Audio Media ["ogg" "oga" "opus" "spx"];
    Mp3 "audio/mpeg" Audio Media ["mp3" "mp2" "mpga"];
    M4a "audio/mp4" Audio Media ["m4a" "m4b" "m4p" "mp4" "aac"];
    Aac "audio/aac" Audio Media ["aac"];
    Amr "audio/amr" Audio Media ["amr" "3ga"];
    Wav "audio/wav" Audio Media ["wav" "wave"];
    Flac "audio/flac" Audio Media ["flac"];
    Midi "audio/midi" Audio Media ["mid" "midi"];
    OtherAudio "audio/x-other" Audio Media ["aif" "aiff" "aifc" "ape" "wv" "mpc" "tta" "ofr" "tak" "dsf" "dff" "au" "ac3" "voc" "xm" "it" "s3m" "mod"];

    // Film
    Mp4 "video/mp4" Video Media ["mp4" "m4v" "m4p" "f4v" "f4p" "f4a" "f4b"];
    Mov "video/quicktime" Video Media ["mov" "qt"];
    ThreeGp "video/3gpp" Video Media ["3gp" "3g2" "3gpp"];
    OggVideo "video/ogg" Video Media ["ogv" "ogg" "ogx"];
    Webm "video/webm" Video Media ["webm"];
    Mkv "video/x-matroska" Video Media ["mkv" "mka" "mks"];
    Avi "video/x-msvideo" Video Media ["avi"];
    Asf "video/x-ms-asf" Video Media ["wmv" "wma" "asf"];
    Mpeg "video/mpeg" Video Media ["mpg" "mpeg" "ts" "m2ts" "vob" "m2v"];
    Flv "video/x-flv" Video Media ["flv"];
    OtherVideo "video/x-other" Video Media ["mxf" "rm" "rmvb" "wtv"];

    // Documents
    Pdf "application/pdf" Document Document ["pdf" "ai"];
    Doc "application/msword" Document Document ["doc" "dot"];
    Xls "application/vnd.ms-excel" Document Document ["xls" "xlt" "xla" "xlm" "xlw"];
    Ppt "application/vnd.ms-powerpoint" Document Document ["ppt" "pps" "pot" "ppa"];
    Vsd "application/vnd.visio" Document Document ["vsd" "vss" "vst"];
    Publisher "application/vnd.ms-publisher" Document Document ["pub"];
    OleOther "application/x-ole-storage" Document Document ["doc" "xls" "ppt" "mpp" "hwp" "db" "wps" "wb3"];
    /// An OOXML document behind a password: OLE with `EncryptedPackage`.
    OfficeEncrypted "application/x-ole-encrypted-package" Document Document ["docx" "xlsx" "pptx" "docm" "xlsm" "pptm" "xlsb"];
    Docx "application/vnd.openxmlformats-officedocument.wordprocessingml.document" Document Document ["docx" "dotx" "docm" "dotm"];
    Xlsx "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" Document Document ["xlsx" "xltx" "xlsm" "xltm" "xlsb" "xlam"];
    Pptx "application/vnd.openxmlformats-officedocument.presentationml.presentation" Document Document ["pptx" "potx" "ppsx" "pptm" "potm" "ppsm" "ppam" "sldx"];
    Docm "application/vnd.ms-word.document.macroenabled.12" Document Document ["docm" "dotm"];
    Xlsm "application/vnd.ms-excel.sheet.macroenabled.12" Document Document ["xlsm" "xltm" "xlam"];
    Xlsb "application/vnd.ms-excel.sheet.binary.macroenabled.12" Document Document ["xlsb"];
    Pptm "application/vnd.ms-powerpoint.presentation.macroenabled.12" Document Document ["pptm" "potm" "ppsm" "ppam"];
    Vsdx "application/vnd.ms-visio.drawing.main+xml" Document Document ["vsdx" "vstx" "vssx" "vsdm"];
    Xps "application/vnd.ms-xpsdocument" Document Document ["xps" "oxps"];
    OoxmlOther "application/vnd.openxmlformats-officedocument" Document Document ["docx" "xlsx" "pptx" "thmx"];
    OpenDocument "application/vnd.oasis.opendocument" Document Document ["odt" "ods" "odp" "odg" "odf" "odb" "ott" "ots" "otp" "fodt" "sxw" "sxc"];
    Epub "application/epub+zip" Document Document ["epub"];
    Rtf "text/rtf" Document Document ["rtf" "doc"];
    OneNote "application/onenote" Document Document ["one" "onetoc2"];
    OneNotePackage "application/onenote-package" Archive Document ["onepkg"];
    PostScript "application/postscript" Document Document ["ps" "eps" "ai"];
    Chm "application/vnd.ms-htmlhelp" Executable Program ["chm"];
    WinHelp "application/winhlp" Executable Program ["hlp"];
    Mobi "application/x-mobipocket-ebook" Document Document ["mobi" "azw" "azw3" "prc"];
    OtherDocument "application/x-other-document" Document Document ["wpd" "wk1" "wk3" "wk4" "wks" "wq1" "wq2" "lit" "lrf" "indd" "djvu" "hwp" "pages" "numbers" "key"];
    Tnef "application/vnd.ms-tnef" Document Mail ["dat" "tnef"];
    Msg "application/vnd.ms-outlook" Document Mail ["msg" "oft"];
    Eml "message/rfc822" Document Mail ["eml" "mbox" "mht" "mhtml" "nws"];
    Mht "multipart/related" Document Active ["mht" "mhtml"];

    // Active text
    Html "text/html" Document Active ["html" "htm" "xhtml" "shtml" "xht" "mht"];
    Svg "image/svg+xml" Image Active ["svg" "svgz"];

    // Archives and streams
    Zip "application/zip" Archive Archive ["zip" "zipx" "kmz" "cbz" "htmlz" "txtz" "xmind" "sketch" "usdz"];
    SevenZip "application/x-7z-compressed" Archive Archive ["7z" "cb7"];
    Rar "application/vnd.rar" Archive Archive ["rar" "r00" "cbr"];
    Tar "application/x-tar" Archive Archive ["tar" "gem" "ova"];
    Gzip "application/gzip" Archive Archive ["gz" "tgz" "svgz" "emz" "gzip"];
    Bzip2 "application/x-bzip2" Archive Archive ["bz2" "tbz" "tbz2"];
    Xz "application/x-xz" Archive Archive ["xz" "txz"];
    Lzma "application/x-lzma" Archive Archive ["lzma" "tlz"];
    Lzip "application/x-lzip" Archive Archive ["lz"];
    Zstd "application/zstd" Archive Archive ["zst" "tzst"];
    Lz4 "application/x-lz4" Archive Archive ["lz4"];
    Compress "application/x-compress" Archive Archive ["z" "taz"];
    Zlib "application/zlib" Archive Archive ["zz" "zlib"];
    Snappy "application/x-snappy-framed" Archive Archive ["sz"];
    Brotli "application/x-brotli" Archive Archive ["br"];
    Szdd "application/x-ms-compress-szdd" Archive Archive ["ex_" "dl_" "szdd"];
    Cab "application/vnd.ms-cab-compressed" Archive Archive ["cab" "msu" "diagcab" "wsp"];
    Arj "application/x-arj" Archive Archive ["arj"];
    Lzh "application/x-lzh-compressed" Archive Archive ["lzh" "lha"];
    Ace "application/x-ace-compressed" Archive Archive ["ace"];
    Alz "application/x-alz" Archive Archive ["alz" "egg"];
    Zoo "application/x-zoo" Archive Archive ["zoo" "arc" "zpaq" "sit" "sitx"];
    Cpio "application/x-cpio" Archive Archive ["cpio"];
    Ar "application/x-archive" Archive Archive ["ar" "a" "lib"];
    Xar "application/x-xar" Archive Program ["xar" "pkg" "xip" "safariextz"];
    Wim "application/x-ms-wim" Archive DiskImage ["wim" "esd" "swm"];
    Uu "text/x-uuencode" Archive Archive ["uu" "uue"];
    Yenc "text/x-yenc" Archive Archive ["ync" "yenc"];
    BinHex "application/mac-binhex40" Archive Archive ["hqx"];

    // Disk images
    Iso "application/x-iso9660-image" Archive DiskImage ["iso" "img" "udf" "cdr" "toast"];
    Udf "application/x-udf-image" Archive DiskImage ["udf" "iso" "img"];
    Vhd "application/x-vhd" Archive DiskImage ["vhd"];
    Vhdx "application/x-vhdx" Archive DiskImage ["vhdx"];
    Vmdk "application/x-vmdk" Archive DiskImage ["vmdk"];
    Qcow "application/x-qemu-disk" Archive DiskImage ["qcow2" "qcow"];
    Dmg "application/x-apple-diskimage" Archive DiskImage ["dmg"];
    RawDisk "application/x-raw-disk-image" Archive DiskImage ["img" "ima" "dd" "bin" "raw"];
    SquashFs "application/vnd.squashfs" Archive DiskImage ["squashfs" "sfs" "snap"];

    // What runs
    Pe "application/vnd.microsoft.portable-executable" Executable Program ["exe" "dll" "scr" "com" "sys" "ocx" "cpl" "pif" "drv" "efi" "xll" "ax" "mui"];
    Dos "application/x-dosexec" Executable Program ["exe" "com" "dll" "scr" "pif"];
    /// 16-bit DOS program without a header, told by its name.
    Com "application/x-dos-com" Executable Program ["com"];
    Elf "application/x-executable" Executable Program ["elf" "so" "o" "bin" "run" "axf" "ko"];
    AppImage "application/vnd.appimage" Executable Program ["appimage"];
    MachO "application/x-mach-binary" Executable Program ["dylib" "macho" "o" "bundle"];
    Dex "application/vnd.android.dex" Executable Program ["dex" "odex" "vdex"];
    Apk "application/vnd.android.package-archive" Executable Program ["apk" "aab" "apks" "xapk" "apkm"];
    Ipa "application/x-ios-app" Executable Program ["ipa"];
    Jar "application/java-archive" Executable Program ["jar" "war" "ear"];
    JavaClass "application/java-vm" Executable Program ["class"];
    JavaSerialized "application/x-java-serialized-object" Executable Program ["ser"];
    Msi "application/x-msi" Executable Program ["msi" "msp" "mst" "msm"];
    Msix "application/msix" Executable Program ["msix" "appx" "msixbundle" "appxbundle"];
    NuGet "application/x-nuget" Executable Program ["nupkg"];
    Vsix "application/vsix" Executable Program ["vsix"];
    ChromeExtension "application/x-chrome-extension" Executable Program ["crx"];
    FirefoxExtension "application/x-xpinstall" Executable Program ["xpi"];
    MacApp "application/x-apple-app" Executable Program ["app" "zip"];
    Deb "application/vnd.debian.binary-package" Archive Archive ["deb" "udeb" "ipk"];
    Rpm "application/x-rpm" Archive Archive ["rpm"];
    Lnk "application/x-ms-shortcut" Executable Program ["lnk"];
    UrlShortcut "application/x-mswinurl" Executable Program ["url" "website"];
    DesktopEntry "application/x-desktop" Executable Program ["desktop"];
    Webloc "application/x-webloc" Executable Program ["webloc" "inetloc" "fileloc"];
    Scf "application/x-ms-scf" Executable Program ["scf"];
    Inf "application/x-setupscript" Executable Program ["inf"];
    Reg "text/x-ms-regedit" Executable Program ["reg"];
    Hta "application/hta" Executable Program ["hta"];
    Wsf "text/x-wsf" Executable Program ["wsf" "wsc" "sct" "ws"];
    JavaScript "text/javascript" Executable Program ["js" "mjs" "cjs" "jsx"];
    JsEncoded "text/x-jscript-encoded" Executable Program ["jse"];
    VbScript "text/vbscript" Executable Program ["vbs" "vb" "vba" "bas" "cls"];
    VbEncoded "text/x-vbscript-encoded" Executable Program ["vbe"];
    PowerShell "text/x-powershell" Executable Program ["ps1" "psm1" "psd1"];
    Batch "text/x-msdos-batch" Executable Program ["bat" "cmd"];
    Shell "text/x-shellscript" Executable Program ["sh" "bash" "zsh" "ksh" "csh" "command" "run"];
    Python "text/x-python" Executable Program ["py" "pyw" "pyz"];
    PythonBytecode "application/x-python-bytecode" Executable Program ["pyc" "pyo"];
    Perl "text/x-perl" Executable Program ["pl" "pm"];
    Ruby "text/x-ruby" Executable Program ["rb"];
    Php "text/x-php" Executable Program ["php" "phtml" "php5" "phar"];
    OtherScript "text/x-script" Executable Program ["au3" "ahk" "tcl" "lua" "applescript" "scpt" "awk" "jsp" "asp" "aspx"];
    AppleScript "application/x-applescript" Executable Program ["scpt" "applescript"];
    SettingContent "application/x-settingcontent" Executable Program ["settingcontent-ms"];
    LibraryMs "application/x-ms-library" Executable Program ["library-ms" "search-ms" "searchconnector-ms"];
    Jnlp "application/x-java-jnlp-file" Executable Program ["jnlp"];
    /// Settings that an iPhone or a Mac takes over.
    AppleProfile "application/x-apple-aspen-config" Executable Program ["mobileconfig"];
    Rdp "application/x-rdp" Executable Program ["rdp"];
    ClickOnce "application/x-ms-application" Executable Program ["application" "appref-ms" "manifest" "appinstaller"];
    Mmc "application/x-ms-msc" Executable Program ["msc"];
    MsProject "application/x-msbuild" Executable Program ["csproj" "vbproj" "proj" "targets"];
    WebQuery "text/x-ms-iqy" Executable Program ["iqy" "dqy" "oqy" "rqy" "odc"];
    Sylk "text/x-sylk" Document Document ["slk"];
    Swf "application/vnd.adobe.flash.movie" Executable Program ["swf"];
    Wasm "application/wasm" Executable Program ["wasm"];
    LlvmBitcode "application/x-llvm" Executable Program ["bc"];
    LuaBytecode "application/x-lua-bytecode" Executable Program ["luac"];
}

impl Kind {
    /// Files whose bytes are a zip, whatever they are called.
    pub fn is_zip(self) -> bool {
        use Kind::*;
        matches!(
            self,
            Zip | Docx
                | Xlsx
                | Pptx
                | Docm
                | Xlsm
                | Xlsb
                | Pptm
                | Vsdx
                | Xps
                | OoxmlOther
                | OpenDocument
                | Epub
                | Apk
                | Ipa
                | Jar
                | Msix
                | NuGet
                | Vsix
                | FirefoxExtension
                | MacApp
        )
    }

    /// Word, Excel, PowerPoint, Visio and XPS in their zip form.
    pub fn is_ooxml(self) -> bool {
        use Kind::*;
        matches!(self, Docx | Xlsx | Pptx | Docm | Xlsm | Xlsb | Pptm | Vsdx | Xps | OoxmlOther)
    }

    /// Files whose bytes are an OLE2 compound file.
    pub fn is_ole(self) -> bool {
        use Kind::*;
        matches!(self, Doc | Xls | Ppt | Vsd | Publisher | OleOther | OfficeEncrypted | Msi | Msg)
    }
}
