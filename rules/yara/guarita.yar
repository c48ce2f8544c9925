/*
  Guarita's own YARA rules: what is best told by bytes. A rule's metadata gives its meaning:
  category and severity (the specification's words), title and why, each also in Portuguese (_pt) and Spanish (_es).
*/

rule Eicar_Test_File
{
    meta:
        category = "malware"
        severity = "critical"
        title = "EICAR test file"
        title_pt = "Arquivo de teste EICAR"
        title_es = "Archivo de prueba EICAR"
        why = "Harmless by itself; every scanner must find it."
        why_pt = "Inofensivo em si; todo verificador deve encontrá-lo."
        why_es = "Inofensivo por sí mismo; todo analizador debe encontrarlo."
    strings:
        $eicar = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    condition:
        $eicar in (0..128)
}

rule Php_Webshell
{
    meta:
        category = "malware"
        severity = "high"
        title = "PHP that runs what a visitor sends"
        title_pt = "PHP que executa o que o visitante envia"
        title_es = "PHP que ejecuta lo que envía el visitante"
        why = "A web shell gives its sender the server it is put on."
        why_pt = "Um web shell dá a quem o enviou o servidor onde é colocado."
        why_es = "Una web shell entrega a quien la envió el servidor donde se coloca."
    strings:
        $tag = "<?php" nocase
        $short = "<?="
        $run = /\b(eval|assert|system|exec|shell_exec|passthru|popen|proc_open|pcntl_exec)\s{0,8}\(\s{0,8}(@?\s?(base64_decode|gzinflate|gzuncompress|str_rot13|strrev|hex2bin)\s{0,4}\(\s{0,4})?@?\$_(GET|POST|REQUEST|COOKIE|SERVER|FILES)/ nocase
        $back = /`\s{0,4}\$_(GET|POST|REQUEST|COOKIE)/
        $packed = /\b(eval|assert)\s{0,8}\(\s{0,8}(base64_decode|gzinflate|gzuncompress|str_rot13)\s{0,4}\(/ nocase
        $call = /\$_(GET|POST|REQUEST|COOKIE)\s?\[[^\]]{1,32}\]\s?\(\s?\$_(GET|POST|REQUEST|COOKIE)/
    condition:
        ($tag or $short) and any of ($run, $back, $packed, $call)
}

rule Jsp_Asp_Webshell
{
    meta:
        category = "malware"
        severity = "high"
        title = "Server page that runs commands"
        title_pt = "Página de servidor que executa comandos"
        title_es = "Página de servidor que ejecuta órdenes"
        why = "It gives its sender the server it is put on."
        why_pt = "Dá a quem o enviou o servidor onde é colocado."
        why_es = "Entrega a quien lo envió el servidor donde se coloca."
    strings:
        $jsp = /Runtime\.getRuntime\(\)\.exec\(\s{0,4}request\.getParameter/ nocase
        $asp = /<%\s{0,8}(eval|execute|executeglobal)\s{0,4}\(?\s{0,4}request/ nocase
        $aspx = /eval\s?\(\s?Request\.(Item|Form|QueryString)\s?\[[^\]]{1,40}\]\s?,\s?"unsafe"/ nocase
    condition:
        any of them
}

rule PowerShell_Hidden_Or_Encoded
{
    meta:
        category = "malware"
        severity = "high"
        title = "PowerShell that hides what it runs"
        title_pt = "PowerShell que esconde o que executa"
        title_es = "PowerShell que oculta lo que ejecuta"
        why = "Encoded commands and hidden windows are how droppers start."
        why_pt = "Comandos codificados e janelas ocultas são como começam os instaladores de vírus."
        why_es = "Órdenes codificadas y ventanas ocultas son como empiezan los instaladores de virus."
    strings:
        $shell = "powershell" nocase ascii wide
        $encoded = /\s[-\/]e(nc(odedcommand)?|c|n)?\s{1,4}["']?[A-Za-z0-9+\/]{40,}/ nocase ascii wide
        $frombase = "FromBase64String" nocase ascii wide
        $invoke = /\b(iex|invoke-expression)\b/ nocase ascii wide
        $download = /(DownloadString|DownloadFile|DownloadData|Invoke-WebRequest|Start-BitsTransfer|Net\.WebClient)/ nocase ascii wide
        $hidden = /-w(indowstyle)?\s{1,4}h(idden)?\b/ nocase ascii wide
        $bypass = /-e(xecutionpolicy|p)\s{1,4}bypass/ nocase ascii wide
    condition:
        filesize < 2MB and (
            ($shell and $encoded) or
            ($invoke and ($frombase or $download)) or
            ($shell and $download and ($hidden or $bypass))
        ) and not uint16(0) == 0x5a4d
}

rule Script_Dropper
{
    meta:
        category = "malware"
        severity = "high"
        title = "Script that fetches a file and starts it"
        title_pt = "Script que baixa um arquivo e o executa"
        title_es = "Script que descarga un archivo y lo ejecuta"
        why = "What it fetches can be another thing every day; no signature knows it."
        why_pt = "O que ele baixa pode ser outra coisa a cada dia; nenhuma assinatura o conhece."
        why_es = "Lo que descarga puede ser otra cosa cada día; ninguna firma lo conoce."
    strings:
        $http = /(MSXML2\.(Server)?XMLHTTP|Microsoft\.XMLHTTP|WinHttp\.WinHttpRequest)/ nocase ascii wide
        $stream = "ADODB.Stream" nocase ascii wide
        $save = "SaveToFile" nocase ascii wide
        $shell = /(WScript\.Shell|Shell\.Application)/ nocase ascii wide
        $run = /\.(Run|Exec|ShellExecute)\b/ nocase ascii wide
        $certutil = /certutil(\.exe)?\s{1,4}[-\/](urlcache|decode)/ nocase ascii wide
        $bits = /bitsadmin(\.exe)?\s{1,4}\/transfer/ nocase ascii wide
        $mshta = /mshta(\.exe)?\s{1,4}["']?(https?|javascript|vbscript):/ nocase ascii wide
        $regsvr = /regsvr32(\.exe)?\s.{0,40}\/i:https?:/ nocase ascii wide
        $curl = /(curl|wget)\s[^\r\n|]{4,200}\|\s{0,4}(ba|z|da)?sh\b/ nocase
    condition:
        filesize < 4MB and not uint16(0) == 0x5a4d and uint32(0) != 0x464c457f and (
            ($http and $stream and $save and $shell and $run) or
            $mshta or $regsvr or $bits or ($certutil and $shell) or ($curl at 0) or
            (uint16(0) == 0x2123 and $curl)
        )
}

rule Html_Smuggling_Loader
{
    meta:
        category = "malware"
        severity = "high"
        title = "Page that carries a packed program"
        title_pt = "Página que carrega um programa embutido"
        title_es = "Página que lleva un programa incrustado"
        why = "The page builds a program in the browser, past whatever guards downloads."
        why_pt = "A página monta um programa no navegador, sem passar por quem verifica downloads."
        why_es = "La página arma un programa en el navegador, sin pasar por quien vigila las descargas."
    strings:
        $page = /<(html|script|svg|body|!doctype)/ nocase
        $exe = /["'`]TV(qQAAMAAAAEAAAA|pQAAIAAAAEAA8A|oAAAAAAAAAAAAA)/
        $zip = /["'`]UEsDB(BQA|AoA)[A-Za-z0-9+\/]{200,}/
        $iso = "Q0QwMDEB"
        $decode = /(atob\s?\(|fromCharCode|Uint8Array|base64)/ nocase
        $save = /(new\s+Blob|createObjectURL|msSaveOrOpenBlob|\.download\s?=)/ nocase
    condition:
        $page in (0..4096) and ($exe or $zip or $iso) and ($decode or $save)
}

rule AutoIt_Compiled
{
    meta:
        category = "executable"
        severity = "high"
        title = "Compiled AutoIt script"
        title_pt = "Script AutoIt compilado"
        title_es = "Script AutoIt compilado"
        why = "Often used to pack thieves' tools so that scanners do not know them."
        why_pt = "Muito usado para embalar ferramentas de ladrões de modo que verificadores não as conheçam."
        why_es = "Muy usado para empaquetar herramientas de ladrones de modo que los analizadores no las conozcan."
    strings:
        $ea05 = { A3 48 4B BE 98 6C 4A A9 99 4C 53 0A 86 D6 48 7D 41 55 33 21 45 41 30 35 }
        $ea06 = { A3 48 4B BE 98 6C 4A A9 99 4C 53 0A 86 D6 48 7D 41 55 33 21 45 41 30 36 }
    condition:
        any of them
}

rule PyInstaller_Packed
{
    meta:
        category = "executable"
        severity = "high"
        title = "Python program packed into one file"
        title_pt = "Programa Python empacotado em um arquivo"
        title_es = "Programa Python empaquetado en un archivo"
        why = "Easily made and new each time, so scanners do not know it."
        why_pt = "Fácil de fazer e novo a cada vez, por isso verificadores não o conhecem."
        why_es = "Fácil de hacer y nuevo cada vez, por eso los analizadores no lo conocen."
    strings:
        $cookie = { 4D 45 49 0C 0B 0A 0B 0E }
        $meipass = "_MEIPASS"
    condition:
        (uint16(0) == 0x5a4d or uint32(0) == 0x464c457f or uint32(0) == 0xfeedfacf) and $cookie and $meipass
}

rule Packed_Program
{
    meta:
        category = "executable"
        severity = "high"
        title = "Program packed to hide its code"
        title_pt = "Programa compactado para esconder seu código"
        title_es = "Programa empaquetado para ocultar su código"
        why = "Honest programs are rarely packed; hidden code is not known to scanners."
        why_pt = "Programas honestos raramente são compactados; código escondido não é conhecido por verificadores."
        why_es = "Los programas honestos rara vez se empaquetan; el código oculto no lo conocen los analizadores."
    strings:
        $upx = "UPX!"
        $upx0 = "UPX0"
        $aspack = ".aspack"
        $themida = ".themida"
        $vmp = ".vmp0"
        $mpress = ".MPRESS1"
        $petite = ".petite"
        $fsg = "FSG!"
    condition:
        (uint16(0) == 0x5a4d and any of them) or (uint32(0) == 0x464c457f and $upx)
}

rule Exe_In_Text
{
    meta:
        category = "malware"
        severity = "high"
        title = "Program written out as text"
        title_pt = "Programa escrito como texto"
        title_es = "Programa escrito como texto"
        why = "A script turns the text back into a program and starts it."
        why_pt = "Um script transforma o texto de volta em programa e o inicia."
        why_es = "Un script convierte el texto otra vez en programa y lo inicia."
    strings:
        $base64 = "TVqQAAMAAAAEAAAA//8AALgAAAAA"
        $hex = "4d5a90000300000004000000ffff0000b8" nocase
        $certificate = "-----BEGIN CERTIFICATE-----\x0d\x0aTVqQ"
        $mail = /Content-Transfer-Encoding:\s{0,4}base64/ nocase
    condition:
        any of ($base64, $hex, $certificate) and not $mail and uint16(0) != 0x5a4d and uint32(0) != 0x464c457f
        and uint32(0) != 0x04034b50 and uint32(0) != 0x46445025
}

rule Exiftool_Djvu_Injection
{
    meta:
        category = "exploit"
        severity = "high"
        title = "Picture that attacks a metadata reader (CVE-2021-22204)"
        title_pt = "Imagem que ataca um leitor de metadados (CVE-2021-22204)"
        title_es = "Imagen que ataca a un lector de metadatos (CVE-2021-22204)"
        why = "A server that reads its metadata with ExifTool runs what is written in it."
        why_pt = "Um servidor que lê seus metadados com o ExifTool executa o que está escrito neles."
        why_es = "Un servidor que lee sus metadatos con ExifTool ejecuta lo que está escrito en ellos."
    strings:
        $djvu = "AT&TFORM"
        $anta = /\(metadata\s{0,8}\(?\w{0,32}\s{0,8}"\\/
        $call = /\$\{?(system|`|qx|exec)/ nocase
    condition:
        $djvu and ($anta or $call)
}

rule Ghostscript_Escape
{
    meta:
        category = "exploit"
        severity = "high"
        title = "PostScript that starts a program"
        title_pt = "PostScript que inicia um programa"
        title_es = "PostScript que inicia un programa"
        why = "A server that converts it with Ghostscript starts that program."
        why_pt = "Um servidor que o converte com o Ghostscript inicia esse programa."
        why_es = "Un servidor que lo convierte con Ghostscript inicia ese programa."
    strings:
        $pipe = /\(%pipe%[^)]{1,200}\)\s{0,8}(\(w\)|\(r\))?\s{0,8}file/
        $device = /OutputFile\s{0,4}\(%pipe%/
    condition:
        any of them
}

rule ImageTragick
{
    meta:
        category = "exploit"
        severity = "high"
        title = "Picture that attacks ImageMagick"
        title_pt = "Imagem que ataca o ImageMagick"
        title_es = "Imagen que ataca a ImageMagick"
        why = "A server that converts it with ImageMagick runs what is written in it."
        why_pt = "Um servidor que a converte com o ImageMagick executa o que está escrito nela."
        why_es = "Un servidor que la convierte con ImageMagick ejecuta lo que está escrito en ella."
    strings:
        $mvg = "push graphic-context"
        $fill = /(fill|image\s+over\s[0-9, ]{3,20})\s{0,4}['"]?\s?url\((https?|ephemeral|msl|label|mvg):[^)]{0,200}["'|`]/
        $read = /['"]?(ephemeral|msl|label):@?\//
    condition:
        $mvg and ($fill or $read)
}
